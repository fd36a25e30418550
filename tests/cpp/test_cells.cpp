#include <doctest/doctest.h>

#include <map>
#include <set>

#include "glassnf/cells.hpp"
#include "numbers.hpp"

using namespace glassnf;

namespace {

template <int D>
void check_grid(const double* box, double cutoff, double most) {
  CellGrid<D> grid;
  bool wide = true;
  for (int k = 0; k < D; ++k) wide = wide && box[k] >= 3.0 * cutoff * (1.0 + 1e-9);
  const bool made = make_grid<D>(box, cutoff, most, grid);
  if (wide) REQUIRE(made);
  if (!made) return;
  long long cells = 1;
  bool smallest = true;
  for (int k = 0; k < D; ++k) {
    REQUIRE(grid.per_side[k] >= 3);
    REQUIRE(box[k] / grid.per_side[k] >= cutoff);
    smallest = smallest && grid.per_side[k] == 3;
    cells *= grid.per_side[k];
  }
  REQUIRE(grid.cells() == cells);
  REQUIRE((static_cast<double>(cells) <= most || smallest || most < 27.0 * 8));
  // Indices and coordinates are each other's inverse.
  for (long long i = 0; i < cells && i < 5000; ++i) {
    int c[D];
    grid.coordinates(i, c);
    for (int k = 0; k < D; ++k) REQUIRE((c[k] >= 0 && c[k] < grid.per_side[k]));
    REQUIRE(grid.index(c) == i);
  }
  for (int k = 0; k < D; ++k) {
    REQUIRE(grid.along(k, 0.0) == 0);
    REQUIRE(grid.along(k, std::nextafter(box[k], 0.0)) == grid.per_side[k] - 1);
    std::set<int> around;
    for (int c = 0; c < grid.per_side[k]; ++c)
      for (int offset = -1; offset <= 1; ++offset) {
        double shift;
        const int n = grid.neighbour(k, c, offset, shift);
        REQUIRE((n >= 0 && n < grid.per_side[k]));
        REQUIRE((n - c - offset) % grid.per_side[k] == 0);
        // The shifted neighbour is next to the cell.
        const double side = box[k] / grid.per_side[k];
        REQUIRE(std::fabs((n - c) * side + shift - offset * side) < 1e-9 * box[k]);
      }
  }
}

}  // namespace

TEST_CASE("grids have cells of at least a cutoff, and find their neighbours") {
  auto g = numbers::generator(9);
  for (int i = 0; i < 2000; ++i) {
    const double cutoff = numbers::uniform(g, 0.5, 3.0), most = static_cast<double>(1 + g() % 5000);
    double box[3];
    for (double& side : box) side = cutoff * numbers::uniform(g, 2.0, 12.0);
    check_grid<2>(box, cutoff, most);
    check_grid<3>(box, cutoff, most);
  }
}

TEST_CASE("boxes of a whole number of cutoffs") {
  for (double cutoff : {2.5, 1.1224620483093730, 2.2}) {
    for (int m = 2; m < 9; ++m) {
      const double box[3] = {m * cutoff, m * cutoff, m * cutoff};
      CellGrid<3> grid;
      if (!make_grid<3>(box, cutoff, 1e9, grid)) {
        CHECK(m <= 3);
        continue;
      }
      CHECK((grid.per_side[0] == m || grid.per_side[0] == m - 1));
      CHECK(box[0] / grid.per_side[0] >= cutoff);
    }
  }
}

TEST_CASE("narrow boxes have no grid, and dilute ones few cells") {
  CellGrid<2> grid;
  const double narrow[2] = {100.0, 7.0}, wide[2] = {100.0, 80.0};
  CHECK_FALSE(make_grid<2>(narrow, 2.5, 1e9, grid));
  CHECK(make_grid<2>(wide, 2.5, 1e9, grid));
  CHECK(grid.per_side[0] == 39);  // 40 but for the guard against rounding
  CHECK(make_grid<2>(wide, 2.5, 50.0, grid));
  CHECK(grid.cells() <= 50);
  const double endless[2] = {1e12, 1e12};
  CHECK(make_grid<2>(endless, 1.0, 1000.0, grid));
  CHECK(grid.cells() <= 1000);
}

TEST_CASE("two particles within the cutoff are in neighbouring cells") {
  auto g = numbers::generator(10);
  for (int i = 0; i < 200; ++i) {
    double box[2] = {numbers::uniform(g, 3.0, 9.0), numbers::uniform(g, 3.0, 9.0)};
    if (i % 3 == 0) box[0] = std::floor(box[0]);
    CellGrid<2> grid;
    if (!make_grid<2>(box, 1.0, 1e9, grid)) continue;
    for (int repeat = 0; repeat < 500; ++repeat) {
      double x[2], y[2];
      const double angle = numbers::uniform(g, 0.0, 6.283185307179586),
                   r = repeat % 2 ? 1.0 - 1e-15 : numbers::uniform(g, 0.0, 1.0);
      for (int k = 0; k < 2; ++k) {
        // Often exactly on a border between cells.
        x[k] = repeat % 5 == 0 ? static_cast<double>(g() % static_cast<unsigned>(grid.per_side[k])) / grid.per_side[k] * box[k]
                               : numbers::uniform(g, 0.0, 1.0) * box[k];
        y[k] = x[k] + (k ? r * std::sin(angle) : r * std::cos(angle));
        if (y[k] < 0.0) y[k] += box[k];
        if (y[k] >= box[k]) y[k] -= box[k];
        double shift;
        const int cx = grid.along(k, x[k]), cy = grid.along(k, y[k]);
        bool found = false;
        for (int offset = -1; offset <= 1; ++offset)
          if (grid.neighbour(k, cx, offset, shift) == cy && std::fabs(y[k] - x[k] + shift) <= 1.0 + 1e-12) found = true;
        REQUIRE(found);
      }
    }
  }
}
