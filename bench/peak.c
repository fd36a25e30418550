/* The machine's limits on one core, in double precision: fused multiply-adds and divisions per second, in vectors of the widest
 * kind that -march=native offers. Prints: flops_per_s (a fused multiply-add is two) divisions_per_s
 *
 *   gcc -O3 -march=native -ffast-math -o peak peak.c
 *   peak seconds
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
typedef double vector __attribute__((vector_size(WIDTH)));
enum { lanes = WIDTH / 8, chains = 10, rounds = 20000 };

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Ten independent chains hide the latency of either operation; the empty asm keeps each in a register and the work in the loop. */
#define EACH(step) step(a0) step(a1) step(a2) step(a3) step(a4) step(a5) step(a6) step(a7) step(a8) step(a9)
#define DECLARE(a) vector a = start;
#define HOLD(a) __asm__ volatile("" : "+x"(a));
#define MULTIPLY_ADD(a) a = a * factor + term; HOLD(a)
#define DIVIDE(a) a = factor / a; HOLD(a)

/* Both return operations on vectors per second. */
static double fused_multiply_adds(vector start, vector factor, vector term) {
  EACH(DECLARE)
  const double begin = seconds();
  for (int k = 0; k < rounds; ++k) { EACH(MULTIPLY_ADD) }
  return (double)chains * rounds / (seconds() - begin);
}

static double divisions(vector start, vector factor) {
  EACH(DECLARE)
  const double begin = seconds();
  for (int k = 0; k < rounds; ++k) { EACH(DIVIDE) }
  return (double)chains * rounds / (seconds() - begin);
}

int main(int argc, char **argv) {
  const double limit = argc > 1 ? atof(argv[1]) : 1.0, begin = seconds();
  vector start, factor, term;
  for (int l = 0; l < lanes; ++l) {
    start[l] = 1.0 + 0.001 * l;
    factor[l] = 0.9999;
    term[l] = 1e-4;
  }
  double fused = 0.0, quotients = 0.0;
  do { /* the best of many short loops: what the machine can do when left alone */
    const double f = fused_multiply_adds(start, factor, term), q = divisions(start, factor);
    if (f > fused) fused = f;
    if (q > quotients) quotients = q;
  } while (seconds() - begin < limit);
  printf("%.6e %.6e\n", 2.0 * lanes * fused, lanes * quotients);
  return 0;
}
