#include <doctest/doctest.h>

#include "glassnf/box.hpp"
#include "glassnf/simd.hpp"
#include "numbers.hpp"

using namespace glassnf;

TEST_CASE("wrapping at the faces") {
  for (double length : {6.005996932067149, 5.0, 1e-3, 1e6}) {
    const double below = std::nextafter(length, 0.0);
    struct Row {
      double x, wrapped;
      int image;
    };
    const Row rows[] = {
        {0.0, 0.0, 0},
        {below, below, 0},
        {length, 0.0, 1},
        {std::nextafter(length, 2.0 * length), std::nextafter(length, 2.0 * length) - length, 1},
        {1.5 * length, 1.5 * length - length, 1},
        {-0.25 * length, -0.25 * length + length, -1},
        {-1e-300, 0.0, 0},  // rounds to the box length, which is 0 of the next image: the crossings cancel
        {-1e-30 * length, 0.0, 0},
        {-0.0, 0.0, 0},
    };
    for (const Row& row : rows) {
      int image = 0;
      const double wrapped = wrap_once(row.x, length, image);
      CHECK(wrapped == row.wrapped);
      CHECK(image == row.image);
    }
  }
}

TEST_CASE("wrapping keeps coordinates inside and the unwrapped coordinate the same") {
  auto g = numbers::generator(6);
  for (int i = 0; i < 100000; ++i) {
    const double length = numbers::uniform(g, 1.0, 40.0), x = numbers::uniform(g, -0.999, 1.999) * length;
    int image = 0;
    const double wrapped = wrap_once(x, length, image);
    REQUIRE(wrapped >= 0.0);
    REQUIRE(wrapped < length);
    REQUIRE(std::fabs(wrapped + image * length - x) <= 2e-16 * 4.0 * length);
  }
}

TEST_CASE("minimum images") {
  auto g = numbers::generator(7);
  for (int i = 0; i < 100000; ++i) {
    const double length = numbers::uniform(g, 1.0, 40.0);
    const double x = numbers::uniform(g, 0.0, 1.0) * length, y = numbers::uniform(g, 0.0, 1.0) * length, dx = x - y;
    const double distance = minimum_image_distance(dx, length), image = minimum_image(dx, length, 1.0 / length);
    const double exact = dx - length * std::rint(dx / length);
    REQUIRE(std::fabs(image - exact) <= 1e-15 * length);
    REQUIRE(std::fabs(image) == distance);
    REQUIRE(distance >= 0.0);
    REQUIRE(distance <= 0.5 * length);
    REQUIRE(minimum_image_distance(-dx, length) == distance);
    REQUIRE(minimum_image(-dx, length, 1.0 / length) == -image);
  }
  CHECK(minimum_image(0.0, 6.0, 1.0 / 6.0) == 0.0);
  CHECK(minimum_image_distance(3.0, 6.0) == 3.0);
  // Half a box away either image may be taken, within rounding of the same length.
  for (double length : {6.0, 5.0, 6.005996932067149, 1e-3})
    for (double half : {0.5 * length, std::nextafter(0.5 * length, 0.0), std::nextafter(0.5 * length, length)})
      for (double dx : {half, -half}) {
        CHECK(std::fabs(minimum_image(dx, length, 1.0 / length)) == doctest::Approx(0.5 * length).epsilon(1e-15));
        CHECK(minimum_image_distance(dx, length) <= 0.5 * length);
      }
}

TEST_CASE("minimum images of packs are those of scalars") {
  auto g = numbers::generator(8);
  for (int i = 0; i < 1000; ++i) {
    const double length = numbers::uniform(g, 1.0, 40.0), inverse = 1.0 / length;
    alignas(64) double dx[8], a[8], b[8];
    for (double& x : dx) x = numbers::uniform(g, -1.0, 1.0) * length;
    dx[0] = 0.5 * length;
    dx[1] = -0.5 * length;
    dx[2] = 0.0;
    dx[3] = std::nextafter(length, 0.0);
    store(a, minimum_image(load(dx), Pack(length), Pack(inverse)));
    store(b, minimum_image_distance(load(dx), Pack(length)));
    for (int l = 0; l < 8; ++l) {
      REQUIRE(a[l] == minimum_image(dx[l], length, inverse));
      REQUIRE(numbers::bits(b[l]) == numbers::bits(minimum_image_distance(dx[l], length)));
    }
  }
}
