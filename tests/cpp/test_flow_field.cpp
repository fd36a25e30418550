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
    CHECK(phi.value == doctest::Approx(f(d)).epsilon(1e-11).scale(1.0));
    CHECK(phi.slope == doctest::Approx(spacing * f(d, 1)).epsilon(1e-11).scale(1.0));
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

namespace {

// What one pair gives: p r + A e at fixed w, as a function of r.
template <int D>
struct Term {
  std::vector<double> p = wave(0.5).table(), e = wave(2.5).table(), c = wave(4.1).table();
  RadialGrid<double> grid = RadialGrid<double>::make(inner, outer, intervals);
  Vec<double, D> w_i, w_j;

  Radial<double> radial(const std::vector<double>& table, double distance) const {
    return radial_at(table.data(), locate(grid, distance));
  }
  Message<D, double> message(const Vec<double, D>& r) const {
    const double d = square_root(dot(r, r));
    return Message<D, double>::make(Bond<D, double>::make(r, d), radial(e, d), radial(c, d), w_j, w_i, grid.inverse_spacing);
  }
  Vec<double, D> operator()(const Vec<double, D>& r) const {
    const double d = square_root(dot(r, r));
    Vec<double, D> v;
    for_axes<D>([&](auto k) { v.at(k) = 0.0; });
    move_along(v, radial(p, d).value, r);
    move_along(v, message(r).along, Bond<D, double>::make(r, d).e);
    return v;
  }
};

template <int D>
void check_derivative(const Term<D>& term, Vec<double, D> r) {
  const double d = square_root(dot(r, r)), step = 1e-6;
  const auto bond = Bond<D, double>::make(r, d);
  const auto p = term.radial(term.p, d);
  const auto message = term.message(r);
  auto block = Block<D, double>::zero();
  block.add_pair(p, d, term.grid.inverse_spacing, bond.e);
  block.add_message(message, bond);
  double trace = 0.0, along = 0.0;
  for_axes<D>([&](auto c) {
    Vec<double, D> above = r, below = r;
    above.at(c) += step;
    below.at(c) -= step;
    const Vec<double, D> high = term(above), low = term(below);
    for_axes<D>([&](auto a) {
      const double slope = (high.at(a) - low.at(a)) / (2.0 * step);
      CHECK(block.rows.at(a).at(c) == doctest::Approx(slope).epsilon(1e-6).scale(1.0));
      along += bond.e.at(a) * slope * bond.e.at(c);
      if (a.value == c.value) trace += slope;
    });
  });
  auto sum = DivergenceSum<double>::zero();
  sum.add(p, d);
  CHECK(sum.template total<D>(term.grid.inverse_spacing) + message.trace(bond) == doctest::Approx(trace).epsilon(1e-6).scale(1.0));
  CHECK(projected(p, d, term.grid.inverse_spacing) + message.slope == doctest::Approx(along).epsilon(1e-6).scale(1.0));
}

}  // namespace

TEST_CASE("pair of a flow: Jacobian, its trace and its projection, by finite differences") {
  Term<2> flat;
  flat.w_i = {0.3, -1.1};
  flat.w_j = {0.7, 0.4};
  for (double x : {0.45, 0.9, 1.3}) check_derivative<2>(flat, {x, -0.37});
  Term<3> solid;
  solid.w_i = {0.3, -1.1, 0.2};
  solid.w_j = {0.7, 0.4, -0.9};
  for (double x : {0.45, 0.9, 1.3}) check_derivative<3>(solid, {x, -0.37, 0.21});
}

TEST_CASE("two particles in one place have no direction, and nothing breaks") {
  const auto bond = Bond<2, double>::make({0.0, 0.0}, 0.0);
  CHECK(bond.e.x == 0.0);
  CHECK(bond.e.y == 0.0);
  CHECK(std::isfinite(bond.inverse_distance));
}

TEST_CASE("a coordinate is split into a place in the box and crossings") {
  const double length = 5.3;
  for (double x : {0.0, 1.0, 5.3, -0.1, 5.2999999999999998, 10.6, -5.3, 123.4, -98765.4, -1e-17, 1e9, -1e9}) {
    double wrapped = -1.0;
    std::int32_t sides = 0;
    CHECK(split_coordinate(x, length, wrapped, sides));
    CHECK(wrapped >= 0.0);
    CHECK(wrapped < length);
    CHECK(wrapped + sides * length == doctest::Approx(x).epsilon(1e-14).scale(1.0));
  }
  for (double x : {1e11, -1e11, 1e300, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    double wrapped = -1.0;
    std::int32_t sides = 3;
    CHECK(!split_coordinate(x, length, wrapped, sides));
    CHECK(sides == 3);
  }
}
