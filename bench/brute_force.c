/* The opponent: Metropolis Monte Carlo of the two-dimensional ternary Kob-Andersen liquid (ka2d) as one would write it in an
 * afternoon. One replica, double precision, every trial move sums over all pairs of the moved particle, before and after; the
 * compiler may do what it likes with the loop. No cell lists, no cached energies, no intrinsics. A measure of speed and a check of
 * averages for glassnf; bench/monte_carlo.py builds and runs it.
 *
 *   gcc -O3 -march=native -ffast-math -o brute_force brute_force.c -lm
 *   brute_force NA NB NC side T sweeps equilibration swap_probability move_size seed
 *
 * The run starts from a square lattice with shuffled species, cools from T = 3 to T in the first half of the equilibration, and
 * prints one line:
 *   T  U/N  error  excess_heat_capacity/N  acceptance_of_displacements  acceptance_of_swaps  tau_in_sweeps  moves/s  "drift" drift
 *
 * A swap trial picks two particles; if they are of one species the trial ends there, free of charge. That is the usual short
 * cut, and makes these swap moves cheaper on average than those of glassnf, which always picks unlike particles.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { max_particles = 4096, species_count = 3, usage_error = 2 };

static const double sigma[species_count][species_count] = {{1.0, 0.8, 0.9}, {0.8, 0.88, 0.8}, {0.9, 0.8, 0.94}};
static const double epsilon[species_count][species_count] = {{1.0, 1.5, 0.75}, {1.5, 0.5, 1.5}, {0.75, 1.5, 0.75}};
static const double cutoff = 2.5; /* in units of sigma */
static double c0, c2, c4;         /* so that V, V', V'' vanish at the cutoff */

static int n;
static double side;
static double x[max_particles], y[max_particles];
static int species[max_particles];

/* xoshiro256** of Blackman and Vigna (2018), seeded by splitmix64. */
static uint64_t state[4];

static uint64_t rotate(uint64_t v, int k) { return (v << k) | (v >> (64 - k)); }

static uint64_t random_bits(void) {
  const uint64_t result = rotate(state[1] * 5, 7) * 9, t = state[1] << 17;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= t;
  state[3] = rotate(state[3], 45);
  return result;
}

static double uniform(void) { return (double)(random_bits() >> 11) * 0x1p-53; }

static void seed_random(uint64_t seed) {
  for (int i = 0; i < 4; ++i) {
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    state[i] = z ^ (z >> 31);
  }
}

static double pair_energy(double r2, int a, int b) {
  const double q = r2 / (sigma[a][b] * sigma[a][b]);
  if (q >= cutoff * cutoff) return 0.0;
  const double i3 = 1.0 / (q * q * q);
  return 4.0 * epsilon[a][b] * (i3 * i3 - i3 + c4 * q * q + c2 * q + c0);
}

/* Energy of particle i, were it a particle of species s at (xi, yi), with all others but `except`. Inlined, so that the compiler
 * may leave out the test for `except` where there is none. */
__attribute__((always_inline)) static inline double local_energy(int i, double xi, double yi, int s, int except) {
  double energy = 0.0;
  for (int j = 0; j < n; ++j) {
    if (j == i || j == except) continue;
    double dx = xi - x[j], dy = yi - y[j];
    dx -= side * rint(dx / side);
    dy -= side * rint(dy / side);
    energy += pair_energy(dx * dx + dy * dy, s, species[j]);
  }
  return energy;
}

static double total_energy(void) {
  double energy = 0.0;
  for (int i = 0; i < n; ++i) energy += local_energy(i, x[i], y[i], species[i], -1);
  return 0.5 * energy;
}

static int accepted(double change, double temperature) { return change <= 0.0 || uniform() < exp(-change / temperature); }

/* Both return the change of energy, 0 where the move was refused, and count. */
static double displace(double move_size, double temperature, long *accepts) {
  const int i = (int)(random_bits() % (uint64_t)n);
  double xi = x[i] + move_size * (2.0 * uniform() - 1.0), yi = y[i] + move_size * (2.0 * uniform() - 1.0);
  const double change = local_energy(i, xi, yi, species[i], -1) - local_energy(i, x[i], y[i], species[i], -1);
  if (!accepted(change, temperature)) return 0.0;
  x[i] = xi - side * floor(xi / side);
  y[i] = yi - side * floor(yi / side);
  ++*accepts;
  return change;
}

static double swap(double temperature, long *accepts) {
  const int i = (int)(random_bits() % (uint64_t)n), j = (int)(random_bits() % (uint64_t)n);
  const int a = species[i], b = species[j];
  if (a == b) return 0.0;
  const double before = local_energy(i, x[i], y[i], a, j) + local_energy(j, x[j], y[j], b, i);
  const double change = local_energy(i, x[i], y[i], b, j) + local_energy(j, x[j], y[j], a, i) - before;
  if (!accepted(change, temperature)) return 0.0;
  species[i] = b;
  species[j] = a;
  ++*accepts;
  return change;
}

static void start(const int *counts) {
  const int columns = (int)ceil(sqrt(n));
  int k = 0;
  for (int a = 0; a < species_count; ++a)
    for (int m = 0; m < counts[a]; ++m) species[k++] = a;
  for (int i = 0; i < n; ++i) {
    x[i] = (i % columns + 0.5) * side / columns;
    y[i] = (i / columns + 0.5) * side / columns;
  }
  for (int i = n - 1; i > 0; --i) {
    const int j = (int)(random_bits() % (uint64_t)(i + 1)), s = species[i];
    species[i] = species[j];
    species[j] = s;
  }
}

/* Integrated autocorrelation time, summed up to six times itself (Sokal's window). */
static double correlation_time(const double *series, long length, double mean, double variance) {
  double tau = 0.5;
  for (long lag = 1; lag < length / 10 && lag <= 6.0 * tau + 1.0; ++lag) {
    double sum = 0.0;
    long count = 0;
    for (long t = 0; t + lag < length; t += 1 + length / 200000, ++count) sum += (series[t] - mean) * (series[t + lag] - mean);
    tau += sum / ((double)count * variance);
  }
  return tau;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 11) {
    fprintf(stderr, "usage: %s NA NB NC side T sweeps equilibration swap_probability move_size seed\n", argv[0]);
    return usage_error;
  }
  const int counts[species_count] = {atoi(argv[1]), atoi(argv[2]), atoi(argv[3])};
  side = atof(argv[4]);
  const double target = atof(argv[5]), swap_probability = atof(argv[8]), move_size = atof(argv[9]);
  const long sweeps = atol(argv[6]), equilibration = atol(argv[7]);
  n = counts[0] + counts[1] + counts[2];
  double *series = malloc(sizeof(double) * (size_t)(sweeps > 0 ? sweeps : 1));
  if (n < 1 || n > max_particles || side < 2.0 * cutoff || target <= 0.0 || sweeps < 1 || equilibration < 0 || !series) {
    fprintf(stderr, "%s: expected 1 to %d particles, side >= 5, T > 0, sweeps >= 1\n", argv[0], max_particles);
    return usage_error;
  }
  c4 = 6.0 * pow(cutoff, -10) - 21.0 * pow(cutoff, -16);
  c2 = 48.0 * pow(cutoff, -14) - 15.0 * pow(cutoff, -8);
  c0 = 10.0 * pow(cutoff, -6) - 28.0 * pow(cutoff, -12);
  seed_random(strtoull(argv[10], NULL, 10));
  start(counts);

  double energy = total_energy(), begin = seconds();
  long displacements = 0, displaced = 0, swaps = 0, swapped = 0;
  for (long sweep = -equilibration; sweep < sweeps; ++sweep) {
    if (sweep == 0) {
      displacements = displaced = swaps = swapped = 0;
      energy = total_energy();
      begin = seconds();
    }
    const double hot = (double)(-equilibration / 2 - sweep) / (0.5 * (double)equilibration);
    const double temperature = hot > 0.0 && target < 3.0 ? target + (3.0 - target) * hot : target;
    for (int move = 0; move < n; ++move) {
      if (swap_probability > 0.0 && uniform() < swap_probability) {
        ++swaps;
        energy += swap(temperature, &swapped);
      } else {
        ++displacements;
        energy += displace(move_size, temperature, &displaced);
      }
    }
    if (sweep >= 0) series[sweep] = energy;
  }
  const double elapsed = seconds() - begin;

  double mean = 0.0, variance = 0.0;
  for (long t = 0; t < sweeps; ++t) mean += series[t] / (double)sweeps;
  for (long t = 0; t < sweeps; ++t) variance += (series[t] - mean) * (series[t] - mean) / (double)sweeps;
  const double tau = correlation_time(series, sweeps, mean, variance);
  printf("%.4f %.6f %.6f %.5f %.4f %.5f %.1f %.0f drift %.2e\n", target, mean / n,
         sqrt(2.0 * variance * tau / (double)sweeps) / n, variance / (target * target) / n, (double)displaced / (double)displacements,
         swaps ? (double)swapped / (double)swaps : 0.0, tau, (double)sweeps * n / elapsed, fabs(energy - total_energy()));
  free(series);
  return 0;
}
