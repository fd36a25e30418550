// Radial tables and pairs of the flow fields: scalars and packs, the ends of the tables, divergences by finite differences.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "glassnf/box.hpp"
#include "glassnf/flow_field.hpp"
#include "glassnf/simd.hpp"

using namespace glassnf;

namespace {

constexpr double inner = 0.4, outer = 2.0;
constexpr std::int64_t intervals = 16;
constexpr double spacing = (outer - inner) / intervals;

// A cubic B-spline on knots 0 .. 4 and its derivatives, by truncated powers.
double b_spline(double x, int order) {
  const double binomial[] = {1, -4, 6, -4, 1}, factor[] = {6, 2, 1, 1};
  double sum = 0.0;
  for (int k = 0; k < 5; ++k)
    if (x > k) sum += binomial[k] * std::pow(x - k, 3 - order);
  return sum / factor[order];
}

struct Function {
  std::vector<double> weights;

  double operator()(double d, int order = 0) const {
    if (d >= outer) return 0.0;
    double sum = 0.0;
    for (std::size_t m = 0; m < weights.size(); ++m) sum += weights[m] * b_spline((d - inner) / spacing - double(m), order);
    return sum / std::pow(spacing, order);
  }
  std::vector<double> table() const {
    std::vector<double> rows(4 * (intervals + 2), 0.0);
    for (std::int64_t row = 1; row <= intervals; ++row) {
      const double knot = inner + spacing * double(row - 1), factorial[] = {1, 1, 2, 6};
      for (int order = 0; order < 4; ++order)
        rows[std::size_t(4 * row + order)] =
            (*this)(order == 3 ? knot + 0.5 * spacing : knot, order) * std::pow(spacing, order) / factorial[order];
    }
    return rows;
  }
};

Function wave(double phase) {
  Function f;
  for (int m = 0; m < intervals - 3; ++m) f.weights.push_back(std::sin(phase + 1.7 * m));
  return f;
}

}  // namespace

TEST_CASE("radial table: values and slopes are those of the function") {
  const Function f = wave(0.3);
  const std::vector<double> table = f.table();
  const auto grid = RadialGrid<double>::make(inner, outer, intervals);
  for (double d = 0.0; d < 3.0; d += 0.00371) {
    const auto phi = radial_at(table.data(), locate(grid, d));
    CHECK(phi.value == doctest::Approx(f(d)).epsilon(1e-13).scale(1.0));
    CHECK(phi.slope == doctest::Approx(spacing * f(d, 1)).epsilon(1e-13).scale(1.0));
  }
}

TEST_CASE("radial table: every distance has a row of the table, and beyond both ends it is zero") {
  const std::vector<double> table = wave(1.0).table();
  const auto grid = RadialGrid<double>::make(inner, outer, intervals);
  const double infinity = std::numeric_limits<double>::infinity(), none = std::numeric_limits<double>::quiet_NaN();
  for (double d : {0.0, 0.1, std::nextafter(inner, 0.0) - 1e-3, outer + 1e-3, 2.5, 1e3, 1e100}) {
    const auto place = locate(grid, d);
    CHECK((place.first == (d < 1.0 ? 0u : 4u * (intervals + 1))));
    CHECK(radial_at(table.data(), place).value == 0.0);
    CHECK(radial_at(table.data(), place).slope == 0.0);
  }
  for (double d : {none, infinity, -infinity, -1.0, 1e308, -1e308}) CHECK(locate(grid, d).first <= 4u * (intervals + 1));
  for (double d : {none, infinity}) CHECK(!std::isfinite(radial_at(table.data(), locate(grid, d)).value));
  // On a knot either row will do.
  for (int row = 0; row <= intervals; ++row) {
    const auto place = locate(grid, inner + spacing * row);
    CHECK(place.s >= 0.0);
    CHECK(place.s <= 1.0 + 1e-12);
  }
}

TEST_CASE("radial table: packs have the bits of scalars, and lanes of their own") {
  const std::vector<double> table = wave(2.0).table();
  const auto grid = RadialGrid<double>::make(inner, outer, intervals);
  const auto grids = RadialGrid<Pack>::make(inner, outer, intervals);
  double d[8] = {0.1, 0.41, 0.77, 1.0, 1.5, 1.93, std::numeric_limits<double>::quiet_NaN(), 7.0};
  const auto phi = radial_at(table.data(), locate(grids, load(d)));
  double value[8], slope[8];
  store(value, phi.value);
  store(slope, phi.slope);
  for (int l = 0; l < 8; ++l) {
    const auto one = radial_at(table.data(), locate(grid, d[l]));
    if (l == 6) {
      CHECK(std::isnan(value[l]));
      continue;
    }
    CHECK(value[l] == one.value);
    CHECK(slope[l] == one.slope);
  }
}

TEST_CASE("pair of a flow: the divergence is the trace of the derivative, by finite differences") {
  const Function f = wave(0.5), g = wave(2.5);
  const std::vector<double> ab = f.table(), ba = g.table();
  const auto grid = RadialGrid<double>::make(inner, outer, intervals);
  const auto velocities = [&](const double* x, double* v) {  // of two particles in three dimensions
    Vec<double, 3> r{x[0] - x[3], x[1] - x[4], x[2] - x[5]}, first{0, 0, 0}, second{0, 0, 0};
    const double d = square_root(dot(r, r));
    const auto phi = mutual_radial_at(ab.data(), ba.data(), locate(grid, d));
    move_along(first, phi.to_first, r);
    move_along(second, -phi.to_second, r);
    const Vec<double, 3> both[2] = {first, second};
    for (int i = 0; i < 2; ++i) {
      v[3 * i] = both[i].x;
      v[3 * i + 1] = both[i].y;
      v[3 * i + 2] = both[i].z;
    }
    auto sum = DivergenceSum<double>::zero();
    sum.add(phi.both, d);
    return sum.total<3>(grid.inverse_spacing);
  };
  double x[6] = {0.1, 0.2, 0.3, 0.8, -0.3, 0.9}, v[6], above[6], below[6], trace = 0.0;
  const double divergence = velocities(x, v), step = 1e-6;
  for (int c = 0; c < 6; ++c) {
    const double middle = x[c];
    x[c] = middle + step;
    velocities(x, above);
    x[c] = middle - step;
    velocities(x, below);
    x[c] = middle;
    trace += (above[c] - below[c]) / (2.0 * step);
  }
  CHECK(std::abs(divergence) > 0.1);
  CHECK(divergence == doctest::Approx(trace).epsilon(1e-7));
}

TEST_CASE("a coordinate is split into a place in the box and crossings") {
  const double length = 5.3;
  for (double x : {0.0, 1.0, 5.3, -0.1, 5.2999999999999998, 10.6, -5.3, 123.4, -98765.4, -1e-17, 1e9, -1e9}) {
    double wrapped = -1.0;
    std::int32_t sides = 0;
    CHECK(split_coordinate(x, length, wrapped, sides));
    CHECK(wrapped >= 0.0);
    CHECK(wrapped < length);
    CHECK(wrapped + sides * length == doctest::Approx(x).epsilon(1e-14).scale(1e-14));
  }
  for (double x : {1e11, -1e11, 1e300, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    double wrapped = -1.0;
    std::int32_t sides = 3;
    CHECK(!split_coordinate(x, length, wrapped, sides));
    CHECK(sides == 3);
  }
}
