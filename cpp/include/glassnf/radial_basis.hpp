// Cubic B-splines on uniform knots, the basis of the radial functions of flows.
#pragma once

#include "glassnf/math.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Splines whose support lies within [inner, outer]: twice continuously differentiable, and zero with both derivatives at the ends and
// outside. Spline c is not zero on the intervals c .. c + 3.
struct RadialBasis {
  double inner, outer;
  int intervals;

  GLASSNF_HD int size() const { return intervals - 3; }
};

// The four splines that are not zero at a distance: spline first + e has the value value[e] and the derivative slope[e], e = 0 .. 3. Some
// of the four may not be in the basis.
struct RadialSplines {
  int first;
  double value[4], slope[4];

  // False outside of the range, and where the distance is no number.
  GLASSNF_HD bool at(const RadialBasis& basis, double distance) {
    if (!(distance > basis.inner && distance < basis.outer)) return false;
    const double per_interval = basis.intervals / (basis.outer - basis.inner), y = (distance - basis.inner) * per_interval;
    int interval = static_cast<int>(y);
    if (interval > basis.intervals - 1) interval = basis.intervals - 1;
    first = interval - 3;
    const double s = y - interval, t = 1.0 - s;
    value[0] = t * t * t * (1.0 / 6.0);
    value[1] = ((3.0 * s - 6.0) * s * s + 4.0) * (1.0 / 6.0);
    value[2] = ((3.0 * t - 6.0) * t * t + 4.0) * (1.0 / 6.0);
    value[3] = s * s * s * (1.0 / 6.0);
    slope[0] = -0.5 * t * t * per_interval;
    slope[1] = (1.5 * s - 2.0) * s * per_interval;
    slope[2] = (2.0 - 1.5 * t) * t * per_interval;
    slope[3] = 0.5 * s * s * per_interval;
    return true;
  }
  // The function with these coefficients, and its derivative.
  GLASSNF_HD double sum(const RadialBasis& basis, const double* coefficients, double& derivative) const {
    double f = 0.0;
    derivative = 0.0;
    for (int e = 0; e < 4; ++e) {
      const int c = first + e;
      if (c < 0 || c >= basis.size()) continue;
      f += coefficients[c] * value[e];
      derivative += coefficients[c] * slope[e];
    }
    return f;
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
