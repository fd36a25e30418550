// What the training of a flow by regression needs to know of a configuration x. A field v = sum_k c_k phi_k that carries the Boltzmann
// distribution along with beta obeys the continuity equation, div v + beta v.F = U - <U>, at every x. It is linear in c: this file
// computes the features
//
//   S_k = div phi_k + beta phi_k.F,
//
// for the radial functions of the last layer of a chain of messages,
//
//   w0_i = sum_j p0(d_ij) r_ij,
//   wl_i = sum_j pl(d_ij) r_ij + sum_j [E(d_ij) (e.w_j) + C(d_ij) (e.w_i)] e,   w of the layer below, e = r_ij / d_ij,
//
// the layers below being given. All radial functions are the same for (a, b) as for (b, a). Derivatives of the layers below are dense
// matrices J[i, k; j, m] = d w_ik / d x_jm, rows of n * D doubles padded to whole packs.
#include "glassnf/box.hpp"
#include "glassnf/radial_basis.hpp"
#include "glassnf/simd.hpp"
#include "kernels.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

namespace {

template <int D>
struct Pair {
  double e[D], d;
  std::int32_t j, species;  // neighbour, and index of the pair of species
};

template <int D>
class Configuration {
  const SystemView& system_;
  const FlowFeatures& job_;
  const RadialBasis pair_, message_;
  const std::int64_t n_, width_;  // width: of a row of a Jacobian
  const double* const x_;
  const std::int32_t* const species_;
  const double* const force_;
  const double beta_;
  Pair<D>* pairs_;
  std::int64_t* first_;   // (n + 1,) pairs of each particle
  double *w_, *below_;    // (n, D)
  double *j_, *j_below_;  // (n, D, width)

 public:
  Configuration(const SystemView& system, const FlowFeatures& job, std::int64_t replica, Workspace& workspace)
      : system_(system),
        job_(job),
        pair_{job.pair.inner, job.pair.outer, job.pair.intervals},
        message_{job.message.inner, job.message.outer, job.message.intervals},
        n_(system.n),
        width_((system.n * D + pack_size - 1) / pack_size * pack_size),
        x_(job.positions + replica * system.n * D),
        species_(job.species + replica * system.n),
        force_(job.forces + replica * system.n * D),
        beta_(job.beta[replica]) {
    pairs_ = static_cast<Pair<D>*>(reserve(workspace, 0, n_ * n_ * static_cast<std::int64_t>(sizeof(Pair<D>))));
    first_ = static_cast<std::int64_t*>(reserve(workspace, 1, (n_ + 1) * 8));
    w_ = static_cast<double*>(reserve(workspace, 2, 2 * n_ * D * 8));
    below_ = w_ + n_ * D;
    if (job.layers) {
      j_ = static_cast<double*>(reserve(workspace, 3, 2 * n_ * D * width_ * 8));
      j_below_ = j_ + n_ * D * width_;
    }
    find_pairs();
  }

  void features(double* out) {
    const int pairs = system_.species_count * (system_.species_count + 1) / 2;
    for (int k = 0; k < pairs * (pair_.size() + (job_.layers ? 2 * message_.size() : 0)); ++k) out[k] = 0.0;
    for (int l = 0; l < job_.layers; ++l) layer(l);
    double* const message = out + pairs * pair_.size();
    each_pair([&](std::int64_t i, const Pair<D>& p) {
      RadialSplines b;
      const double force = along(force_, i, p);
      if (b.at(pair_, p.d)) {
        double* const row = out + p.species * pair_.size();
        for_splines(b, pair_, [&](int c, int e) { row[c] += b.value[e] * (D + beta_ * p.d * force) + b.slope[e] * p.d; });
      }
      if (job_.layers && b.at(message_, p.d)) {
        const double other = along(w_, p.j, p), own = along(w_, i, p), curl = (D - 1) / p.d + beta_ * force;
        const double other_slope = stretch(p.j, i, p), own_slope = stretch(i, i, p);
        double* const row = message + p.species * message_.size();
        double* const row_own = row + pairs * message_.size();
        for_splines(b, message_, [&](int c, int e) {
          row[c] += b.slope[e] * other + b.value[e] * (curl * other + other_slope);
          row_own[c] += b.slope[e] * own + b.value[e] * (curl * own + own_slope);
        });
      }
    });
  }

 private:
  template <class Of>
  void each_pair(Of&& of) const {
    for (std::int64_t i = 0; i < n_; ++i)
      for (std::int64_t p = first_[i]; p < first_[i + 1]; ++p) of(i, pairs_[p]);
  }
  template <class Of>
  static void for_splines(const RadialSplines& b, const RadialBasis& basis, Of&& of) {
    for (int e = 0; e < 4; ++e)
      if (b.first + e >= 0 && b.first + e < basis.size()) of(b.first + e, e);
  }
  static double along(const double* field, std::int64_t i, const Pair<D>& p) {
    double sum = 0.0;
    for (int k = 0; k < D; ++k) sum += p.e[k] * field[i * D + k];
    return sum;
  }
  // e.(d w_i / d x_j).e
  double stretch(std::int64_t i, std::int64_t j, const Pair<D>& p) const {
    double sum = 0.0;
    for (int k = 0; k < D; ++k)
      for (int m = 0; m < D; ++m) sum += p.e[k] * p.e[m] * j_[(i * D + k) * width_ + j * D + m];
    return sum;
  }

  void find_pairs() {
    const double reach = maximum(pair_.outer, job_.layers ? message_.outer : 0.0);
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n_; ++i) {
      first_[i] = count;
      for (std::int64_t j = 0; j < n_; ++j) {
        if (j == i) continue;
        Pair<D>& p = pairs_[count];
        double square = 0.0;
        for (int k = 0; k < D; ++k) {
          p.e[k] = minimum_image(x_[i * D + k] - x_[j * D + k], system_.box[k], 1.0 / system_.box[k]);
          square += p.e[k] * p.e[k];
        }
        p.d = square_root(square);
        if (!(p.d > 0.0 && p.d < reach)) continue;
        for (int k = 0; k < D; ++k) p.e[k] /= p.d;
        p.j = static_cast<std::int32_t>(j);
        const int a = species_[i] < species_[j] ? species_[i] : species_[j],
                  b = species_[i] < species_[j] ? species_[j] : species_[i];
        p.species = a * system_.species_count - a * (a - 1) / 2 + (b - a);
        ++count;
      }
    }
    first_[n_] = count;
  }

  // The displacement of i relative to j has the derivative `block` (D x D): it enters J[i; i] and, with the other sign, J[i; j].
  void add_block(std::int64_t i, std::int64_t j, const double (&block)[D][D]) {
    for (int k = 0; k < D; ++k)
      for (int m = 0; m < D; ++m) {
        j_[(i * D + k) * width_ + i * D + m] += block[k][m];
        j_[(i * D + k) * width_ + j * D + m] -= block[k][m];
      }
  }
  // to += scale_e * (scale_a e.A + scale_b e.B), all rows of Jacobians, for every component of e.
  void add_rows(std::int64_t i, const Pair<D>& p, double from_other, double from_own) {
    const double *other = j_below_ + p.j * D * width_, *own = j_below_ + i * D * width_;
    double* const to = j_ + i * D * width_;
    for (std::int64_t z = 0; z < width_; z += pack_size) {
      Pack t(0.0);
      for (int k = 0; k < D; ++k) {
        t = fused(Pack(from_other * p.e[k]), load(other + k * width_ + z), t);
        t = fused(Pack(from_own * p.e[k]), load(own + k * width_ + z), t);
      }
      for (int k = 0; k < D; ++k) store(to + k * width_ + z, fused(Pack(p.e[k]), t, load(to + k * width_ + z)));
    }
  }

  // Layer l from the one below, with its Jacobian.
  void layer(int l) {
    double* const w = below_;
    below_ = w_;
    w_ = w;
    double* const j = j_below_;
    j_below_ = j_;
    j_ = j;
    for (std::int64_t k = 0; k < n_ * D; ++k) w_[k] = 0.0;
    for (std::int64_t k = 0; k < n_ * D * width_; ++k) j_[k] = 0.0;
    const int pairs = system_.species_count * (system_.species_count + 1) / 2;
    const double* const c = job_.pair_coefficients + l * pairs * pair_.size();
    const double* const messages = job_.message_coefficients + (l - 1) * 2 * pairs * message_.size();
    each_pair([&](std::int64_t i, const Pair<D>& p) {
      RadialSplines b;
      double slope;
      if (b.at(pair_, p.d)) {
        const double f = b.sum(pair_, c + p.species * pair_.size(), slope);
        double block[D][D];
        for (int k = 0; k < D; ++k) {
          w_[i * D + k] += f * p.d * p.e[k];
          for (int m = 0; m < D; ++m) block[k][m] = slope * p.d * p.e[k] * p.e[m] + (k == m ? f : 0.0);
        }
        add_block(i, p.j, block);
      }
      if (l && b.at(message_, p.d)) {
        const double* const row = messages + p.species * message_.size();
        double slope_own;
        const double f = b.sum(message_, row, slope);
        const double f_own = b.sum(message_, row + pairs * message_.size(), slope_own);
        const double other = along(below_, p.j, p), own = along(below_, i, p), size = f * other + f_own * own;
        double block[D][D];
        for (int k = 0; k < D; ++k) {
          w_[i * D + k] += size * p.e[k];
          for (int m = 0; m < D; ++m) {
            // d size / d x_m, with d e / d x = (1 - e e) / d, times e_k, and size d e_k / d x_m.
            const double turn = (f * (below_[p.j * D + m] - other * p.e[m]) + f_own * (below_[i * D + m] - own * p.e[m])) / p.d;
            block[k][m] = p.e[k] * ((slope * other + slope_own * own) * p.e[m] + turn) +
                          size / p.d * ((k == m ? 1.0 : 0.0) - p.e[k] * p.e[m]);
          }
        }
        add_block(i, p.j, block);
        add_rows(i, p, f, f_own);
      }
    });
  }
};

}  // namespace

void flow_features(const SystemView& system, const FlowFeatures& job, std::int64_t replica, Workspace& workspace) {
  const auto run = [&]<int D>() { Configuration<D>(system, job, replica, workspace).features(job.features + replica * job.size); };
  if (system.dimension == 2)
    run.template operator()<2>();
  else
    run.template operator()<3>();
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
