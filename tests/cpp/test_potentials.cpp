#include <doctest/doctest.h>

#include "glassnf/potentials.hpp"
#include "glassnf/simd.hpp"
#include "numbers.hpp"

using namespace glassnf;

namespace {

using Long = long double;

// A potential in long double, with its coefficients made from the formulas of the documentation.
struct Case {
  const char* name;
  PotentialKind kind;
  int exponent;
  Long sigma, epsilon, cutoff;
  bool smooth;

  PairCoefficients<double> coefficients() const {
    const Long xc = cutoff;
    Long k = epsilon, a4 = 0, a2 = 0, a0 = 0;
    if (kind == PotentialKind::lennard_jones) {
      k = 4 * epsilon;
      if (smooth) {
        a4 = 6 * powl(xc, -10) - 21 * powl(xc, -16);
        a2 = 48 * powl(xc, -14) - 15 * powl(xc, -8);
        a0 = 10 * powl(xc, -6) - 28 * powl(xc, -12);
      } else {
        a0 = powl(xc, -6) - powl(xc, -12);
      }
    } else if (kind == PotentialKind::inverse_power) {
      const Long n = exponent;
      a4 = -n * (n + 2) / 8 * powl(xc, -n - 4);
      a2 = n * (n + 4) / 4 * powl(xc, -n - 2);
      a0 = -(n + 2) * (n + 4) / 8 * powl(xc, -n);
    }
    return {static_cast<double>(1 / (sigma * sigma)),
            static_cast<double>(k),
            static_cast<double>(xc * xc),
            static_cast<double>(a4),
            static_cast<double>(a2),
            static_cast<double>(a0)};
  }
  // V and -V'(r) / r at q, with the coefficients as rounded to double.
  void exact(double q_, Long& v, Long& force) const {
    const PairCoefficients<double> c = coefficients();
    const Long q = fmaxl(q_, 1e-4), x = sqrtl(q), k = c.prefactor;
    Long slope;  // dV / dq
    if (kind == PotentialKind::harmonic) {
      v = k * (1 - x) * (1 - x) / 2;
      slope = -k * (1 - x) / (2 * x);
    } else {
      Long bare, bare_slope;
      if (kind == PotentialKind::lennard_jones) {
        bare = powl(q, -6) - powl(q, -3);
        bare_slope = -6 * powl(q, -7) + 3 * powl(q, -4);
      } else {
        const Long m = exponent / Long(2);
        bare = powl(q, -m);
        bare_slope = -m * powl(q, -m - 1);
      }
      v = k * (bare + c.c4 * q * q + c.c2 * q + c.c0);
      slope = k * (bare_slope + 2 * c.c4 * q + c.c2);
    }
    force = q_ > 1e-4 && q_ < c.q_cut ? -2 * slope * c.inverse_sigma2 : 0;
    if (q_ >= c.q_cut) v = 0;
  }
};

const Case cases[] = {
    {"lj_smooth", PotentialKind::lennard_jones, 0, 0.8L, 1.5L, 2.5L, true},
    {"lj_smooth, short", PotentialKind::lennard_jones, 0, 1.0L, 1.0L, 1.75L, true},
    {"lj_shifted", PotentialKind::lennard_jones, 0, 0.88L, 0.5L, 2.5L, false},
    {"wca", PotentialKind::lennard_jones, 0, 1.4L, 0.3L, 1.12246204830937298143L, false},
    {"inverse_power 1", PotentialKind::inverse_power, 1, 1.0L, 1.0L, 3.0L, true},
    {"inverse_power 7", PotentialKind::inverse_power, 7, 0.9L, 0.5L, 1.5L, true},
    {"inverse_power 12", PotentialKind::inverse_power, 12, 1.0L, 1.0L, 1.25L, true},
    {"inverse_power 18", PotentialKind::inverse_power, 18, 1.1L, 2.0L, 1.25L, true},
    {"inverse_power 64", PotentialKind::inverse_power, 64, 1.0L, 1.0L, 1.1L, true},
    {"harmonic", PotentialKind::harmonic, 0, 1.4L, 2.5L, 1.0L, true},
};

template <class F>
void with_potential(const Case& c, F&& f) {
  switch (c.kind) {
    case PotentialKind::lennard_jones: f(LennardJones{0}); break;
    case PotentialKind::inverse_power: f(InversePower{c.exponent}); break;
    case PotentialKind::harmonic: f(Harmonic{0}); break;
  }
}

PairCoefficients<Pack> broadcast_all(const PairCoefficients<double>& c) {
  return {Pack(c.inverse_sigma2), Pack(c.prefactor), Pack(c.q_cut), Pack(c.c4), Pack(c.c2), Pack(c.c0)};
}

std::vector<double> squares(const Case& c) {
  const double q_cut = c.coefficients().q_cut;
  std::vector<double> out = {
      0.0,         1e-300, 0.5e-4, 1e-4, 1.0000001e-4, 1e-3, 0.01, q_cut, std::nextafter(q_cut, 0.0), std::nextafter(q_cut, 10.0),
      1.5 * q_cut, 1e200};
  auto g = numbers::generator(18);
  while (out.size() < 2000) out.push_back(numbers::uniform(g, 0.3, 1.1) * q_cut);
  return out;
}

}  // namespace

TEST_CASE("energies and forces agree with long double") {
  for (const Case& c : cases) {
    INFO(c.name);
    const PairCoefficients<double> k = c.coefficients();
    for (double q : squares(c)) {
      Long v_exact, force_exact;
      c.exact(q, v_exact, force_exact);
      // Rounding scales with the largest term.
      const Long n = c.kind == PotentialKind::inverse_power ? c.exponent : 12;
      const Long scale = k.prefactor * (1 + std::fabs(k.c0) + std::fabs(k.c2) * k.q_cut + std::fabs(k.c4) * k.q_cut * k.q_cut);
      const Long slack = 1e-15L * (n + 4) * (fabsl(v_exact) + scale);
      double v = 0, force = 0, alone = 0;
      with_potential(c, [&](auto p) {
        pair_energy_and_force(p, q, k, v, force);
        alone = pair_energy(p, q, k);
      });
      INFO("q = " << q);
      REQUIRE(fabsl(v - v_exact) <= slack);
      REQUIRE(fabsl(force - force_exact) <= 4 * (n + 4) * 1e-15L * (fabsl(force_exact) + n * scale * k.inverse_sigma2));
      REQUIRE(alone == v);
      REQUIRE(std::isfinite(v));
      REQUIRE(std::isfinite(force));
      if (q >= k.q_cut) {
        REQUIRE(v == 0.0);
        REQUIRE(force == 0.0);
      }
      if (q < q_floor) REQUIRE(force == 0.0);
    }
  }
}

TEST_CASE("potentials are continuous at the cutoff, smooth ones to second order") {
  for (const Case& c : cases) {
    INFO(c.name);
    const PairCoefficients<double> k = c.coefficients();
    const double q = std::nextafter(k.q_cut, 0.0);
    with_potential(c, [&](auto p) {
      double v, force, v_near, force_near;
      pair_energy_and_force(p, q, k, v, force);
      pair_energy_and_force(p, k.q_cut * (1.0 - 1e-4), k, v_near, force_near);
      CHECK(std::fabs(v) < 1e-13 * k.prefactor * (1.0 + std::fabs(k.c0)));
      if (c.smooth && c.kind != PotentialKind::harmonic) {
        CHECK(std::fabs(force) < 1e-11 * k.prefactor * (1.0 + std::fabs(k.c2)));
        // With V'' = 0 the force falls as the square of the distance to the cutoff.
        CHECK(std::fabs(force_near) < 1e-4 * k.prefactor * (1.0 + c.exponent));
      }
    });
  }
}

TEST_CASE("forces are minus the derivative of the energy") {
  for (const Case& c : cases) {
    INFO(c.name);
    const PairCoefficients<double> k = c.coefficients();
    const double sigma = static_cast<double>(c.sigma);
    auto g = numbers::generator(19);
    for (int i = 0; i < 200; ++i) {
      const double r = sigma * numbers::uniform(g, 0.75, 0.98) * std::sqrt(k.q_cut), h = 1e-4 * sigma;
      const auto energy = [&](double at) {
        Long v, f;
        c.exact(at * at * k.inverse_sigma2, v, f);
        return v;
      };
      const Long slope = (energy(r - 2 * h) - 8 * energy(r - h) + 8 * energy(r + h) - energy(r + 2 * h)) / (12 * Long(h));
      double v = 0, force = 0;
      with_potential(c, [&](auto p) { pair_energy_and_force(p, r * r * k.inverse_sigma2, k, v, force); });
      REQUIRE(std::fabs(force * r + static_cast<double>(slope)) < 1e-6 * (1.0 + std::fabs(force * r)));
    }
  }
}

TEST_CASE("packs compute what scalars compute") {
  for (const Case& c : cases) {
    INFO(c.name);
    const PairCoefficients<double> k = c.coefficients();
    const auto q = squares(c);
    const EnergyQuantum grid = EnergyQuantum::from_scale(4.0);
    for (std::size_t at = 0; at + 8 <= q.size(); at += 8)
      with_potential(c, [&](auto p) {
        Pack v, force;
        pair_energy_and_force(p, load(&q[at]), broadcast_all(k), v, force);
        alignas(64) double pv[8], pf[8], pe[8], pq[8];
        store(pv, v);
        store(pf, force);
        store(pe, pair_energy(p, load(&q[at]), broadcast_all(k)));
        store(pq, quantised_pair_energy<true>(p, load(&q[at]), broadcast_all(k), grid));
        for (int l = 0; l < 8; ++l) {
          double sv, sf;
          pair_energy_and_force(p, q[at + l], k, sv, sf);
          REQUIRE(pv[l] == sv);
          REQUIRE(pf[l] == sf);
          REQUIRE(pe[l] == pair_energy(p, q[at + l], k));
          REQUIRE(pq[l] == quantised_pair_energy<true>(p, q[at + l], k, grid));
        }
      });
  }
}

TEST_CASE("powers of odd and even exponents") {
  for (int n = 1; n <= 64; ++n)
    for (double q : {0.5, 0.81, 1.0, 1.3}) {
      const double power = InversePower{n}.power(1.0 / q);
      CHECK(numbers::ulps(power, powl(q, -n / 2.0L)) < 2.0 * n);
    }
}

TEST_CASE("quantised energies are whole numbers of quanta near the true energy, and zero beyond the cutoff") {
  for (const Case& c : cases) {
    INFO(c.name);
    const PairCoefficients<double> k = c.coefficients();
    double scale = 1.0 / 1024.0;
    while (scale < static_cast<double>(c.epsilon)) scale *= 2.0;
    const EnergyQuantum grid = EnergyQuantum::from_scale(scale);
    CHECK(grid.quantum == std::ldexp(scale, -40));
    for (double q : squares(c))
      with_potential(c, [&](auto p) {
        const double v = pair_energy(p, q, k), rounded = quantised_pair_energy<true>(p, q, k, grid);
        REQUIRE(std::isfinite(rounded));
        if (q >= k.q_cut) REQUIRE(rounded == 0.0);
        if (std::fabs(v) < grid.limit) {
          REQUIRE(std::fabs(rounded - v) <= 0.5 * grid.quantum + 1e-13 * (k.prefactor * (1.0 + std::fabs(k.c0)) + std::fabs(v)));
          const double quanta = rounded / grid.quantum;
          REQUIRE(quanta == std::rint(quanta));
        } else {
          REQUIRE(rounded == doctest::Approx(v).epsilon(1e-9));
        }
        if (q >= q_floor) REQUIRE(quantised_pair_energy<false>(p, q, k, grid) == rounded);
      });
  }
}

TEST_CASE("sums of quantised energies do not depend on their order") {
  const Case& c = cases[0];
  const PairCoefficients<double> k = c.coefficients();
  const EnergyQuantum grid = EnergyQuantum::from_scale(2.0);
  auto g = numbers::generator(20);
  std::vector<double> terms;
  for (int i = 0; i < 400; ++i)
    terms.push_back(quantised_pair_energy<true>(LennardJones{0}, numbers::uniform(g, 0.75, 7.0), k, grid));
  double forward = 0.0, backward = 0.0;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    forward += terms[i];
    backward += terms[terms.size() - 1 - i];
  }
  CHECK(numbers::bits(forward) == numbers::bits(backward));
  // Adding and taking away for ever comes back to the start.
  double total = forward;
  for (int repeat = 0; repeat < 1000; ++repeat)
    for (double t : terms) total = repeat % 2 ? total - t : total + t;
  CHECK(numbers::bits(total) == numbers::bits(forward));
}
