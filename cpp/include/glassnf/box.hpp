// The periodic orthogonal box.
#pragma once

#include "glassnf/math.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Put a coordinate that left [0, length) by less than one box back, counting the crossing. A coordinate that rounds to `length`
// becomes 0.
GLASSNF_HD double wrap_once(double x, double length, int& image) {
  if (x < 0.0) {
    x += length;
    --image;
  }
  if (x >= length) {
    x -= length;
    ++image;
  }
  return x;
}

// Whether a coordinate can be put back into the box: a finite number of less than 2^31 sides. Splits it into a place in [0, length) and a whole
// number of sides, by operations that are the same everywhere.
GLASSNF_HD bool split_coordinate(double x, double length, double& wrapped, std::int32_t& sides) {
  const double ratio = x / length;
  if (!(absolute(ratio) < 2147483646.0)) return false;
  std::int32_t n = static_cast<std::int32_t>(ratio);
  if (static_cast<double>(n) > ratio) --n;
  double w = fused(-length, static_cast<double>(n), x);
  if (w >= length) {
    w -= length;
    ++n;
  }
  if (w < 0.0) {
    w += length;
    --n;
  }
  if (w >= length) {  // a tiny negative number plus a side
    w = 0.0;
    ++n;
  }
  wrapped = w;
  sides = n;
  return true;
}

// Shortest distance along one axis between wrapped coordinates, without sign.
template <class F>
GLASSNF_HD F minimum_image_distance(F dx, F length) {
  const F a = absolute(dx);
  return minimum(a, length - a);
}

// The same up to its sign, for those who need the square only: one comparison, with the modulus taken for nothing by the GPU.
GLASSNF_HD double minimum_image_for_square(double dx, double length) {
  const double b = length - fabs(dx);
  return fabs(dx) < b ? dx : b;
}

// Signed minimum image of a difference of wrapped coordinates: dx - length * round(dx / length). The modulus has the same bits as
// minimum_image_distance. For real coordinates only: the caller masks empty lanes. Adding and subtracting
// 1.5 * 2^52 rounds to the nearest integer.
template <class F>
GLASSNF_HD F minimum_image(F dx, F length, F inverse_length) {
  const F magic(6755399441055744.0);
  const F minus_boxes = magic - fused(dx, inverse_length, magic);
  return fused(minus_boxes, length, dx);
}

// The same where the second of the two may stand for nobody and be very far away, which it remains: otherwise a box whose side is a power
// of two would bring it to distance zero.
template <class F>
GLASSNF_HD F minimum_image_or_far(F dx, F length, F inverse_length) {
  const F magic(6755399441055744.0);
  const F minus_boxes = minimum(magic - fused(dx, inverse_length, magic), F(1.0));
  return fused(minus_boxes, length, dx);
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
