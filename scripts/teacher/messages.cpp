// Messages of an equivariant convolution, summed at the atoms that receive them, and their adjoint.
//
// A path takes channels of degree l1 at the sender to degree l3 at the receiver. With one small
// matrix T (spherical harmonics times coupling coefficients) and one weight R for each channel,
//
//     A[receiver, m3, u] += R[u] * sum over m1 of T[m3, m1] * h[sender, m1, u].
//
// R depends on the distance alone and is read from a table of values and slopes (cubic Hermite).
// Each pair of atoms carries a message either way; T of the way back is T times (-1)^l2. Channels
// come in multiples of 16 and lie innermost.
#include <cstddef>
#include <cstdint>

namespace {

typedef float vec __attribute__((vector_size(64), aligned(4)));
constexpr int WIDTH = 16;

inline vec load(const float* p) { return *reinterpret_cast<const vec*>(p); }
inline void add_to(float* p, vec v) { *reinterpret_cast<vec*>(p) += v; }

inline float sum_of(vec v) {
  float total = 0.0f;
  for (int k = 0; k < WIDTH; ++k) total += v[k];
  return total;
}

// Offsets count floats: h in a row of h, t in a row of T, r in a row of R, a in a row of A, where
// components m3 lie `stride` apart.
struct Path {
  int32_t l1, l3, channels, h, t, r, a, stride;
  float parity;
};

template <int L1, int L3>
void forward_path(const Path& p, const float* h, const float* t, const float* r, float* a,
                  float sign) {
  constexpr int M1 = 2 * L1 + 1, M3 = 2 * L3 + 1;
  for (int u = 0; u < p.channels; u += WIDTH) {
    vec x[M1];
    for (int m = 0; m < M1; ++m) x[m] = load(h + m * p.channels + u);
    const vec weight = load(r + u) * sign;
    for (int k = 0; k < M3; ++k) {
      vec y = t[k * M1] * x[0];
      for (int m = 1; m < M1; ++m) y += t[k * M1 + m] * x[m];
      add_to(a + k * p.stride + u, weight * y);
    }
  }
}

// Both ways of one pair: x is (h, gradient of h) of the sender, g the gradient of A at the receiver.
template <int L1, int L3>
void backward_path(const Path& p, const float* const h[2], float* const gh[2], const float* t,
                   float* gt, const float* r, float* gr, const float* const ga[2]) {
  constexpr int M1 = 2 * L1 + 1, M3 = 2 * L3 + 1;
  vec sums[M3 * M1] = {};
  for (int u = 0; u < p.channels; u += WIDTH) {
    const vec weight = load(r + u);
    vec slope = {};
    for (int way = 0; way < 2; ++way) {
      const float sign = way == 0 ? 1.0f : p.parity;
      vec x[M1], gx[M1] = {};
      for (int m = 0; m < M1; ++m) x[m] = load(h[way] + m * p.channels + u);
      for (int k = 0; k < M3; ++k) {
        const vec g = load(ga[way] + k * p.stride + u) * sign;
        const vec scaled = g * weight;
        vec y = t[k * M1] * x[0];
        for (int m = 1; m < M1; ++m) y += t[k * M1 + m] * x[m];
        slope += g * y;
        for (int m = 0; m < M1; ++m) {
          gx[m] += t[k * M1 + m] * scaled;
          sums[k * M1 + m] += scaled * x[m];
        }
      }
      for (int m = 0; m < M1; ++m) add_to(gh[way] + m * p.channels + u, gx[m]);
    }
    *reinterpret_cast<vec*>(gr + u) = slope;
  }
  for (int k = 0; k < M3 * M1; ++k) gt[k] = sum_of(sums[k]);
}

// Weights of all paths at a distance x, in steps of the table, and if wanted their slopes in x.
void radial(const float* table, int width, float x, float* row, float* slope) {
  const int k = static_cast<int>(x);
  const float t = x - k, u = 1.0f - t;
  const float a = (1.0f + 2.0f * t) * u * u, b = t * u * u, c = t * t * (3.0f - 2.0f * t),
              d = -t * t * u;
  const float da = -6.0f * t * u, db = u * (1.0f - 3.0f * t), dd = t * (3.0f * t - 2.0f);
  const float* v0 = table + std::size_t(2 * k) * width;
  const float *s0 = v0 + width, *v1 = v0 + 2 * width, *s1 = v0 + 3 * width;
  for (int i = 0; i < width; i += WIDTH) {
    const vec p = load(v0 + i), q = load(s0 + i), m = load(v1 + i), n = load(s1 + i);
    *reinterpret_cast<vec*>(row + i) = a * p + b * q + c * m + d * n;
    if (slope) *reinterpret_cast<vec*>(slope + i) = da * (p - m) + db * q + dd * n;
  }
}

constexpr int MOST = 2048;  // channels of all paths

#define FOR_DEGREES(CALL)                                                            \
  switch (4 * p.l1 + p.l3) {                                                         \
    case 0: CALL(0, 0); break; case 1: CALL(0, 1); break; case 2: CALL(0, 2); break; \
    case 3: CALL(0, 3); break; case 4: CALL(1, 0); break; case 5: CALL(1, 1); break; \
    case 6: CALL(1, 2); break; case 7: CALL(1, 3); break; case 8: CALL(2, 0); break; \
    case 9: CALL(2, 1); break; case 10: CALL(2, 2); break; case 11: CALL(2, 3); break; \
    case 12: CALL(3, 0); break; case 13: CALL(3, 1); break; case 14: CALL(3, 2); break; \
    case 15: CALL(3, 3); break;                                                      \
  }

}  // namespace

extern "C" {

// Widths are the lengths of the rows of h, T, R and A; first and second are the atoms of the pairs:
// the pair's vector points from first to second. x is the distance in steps of the table.
void forward_messages(const Path* paths, int n_paths, const int32_t* widths, int n_pairs,
                      const int32_t* first, const int32_t* second, const float* table,
                      const float* h, const float* t, const float* x, float* a) {
  float re[MOST];
  for (int e = 0; e < n_pairs; ++e) {
    radial(table, widths[2], x[e], re, nullptr);
    const float* te = t + std::size_t(e) * widths[1];
    const float* hi = h + std::size_t(first[e]) * widths[0];
    const float* hj = h + std::size_t(second[e]) * widths[0];
    float* ai = a + std::size_t(first[e]) * widths[3];
    float* aj = a + std::size_t(second[e]) * widths[3];
    for (int k = 0; k < n_paths; ++k) {
      const Path& p = paths[k];
#define CALL(L1, L3)                                                                 \
  forward_path<L1, L3>(p, hj + p.h, te + p.t, re + p.r, ai + p.a, 1.0f);             \
  forward_path<L1, L3>(p, hi + p.h, te + p.t, re + p.r, aj + p.a, p.parity)
      FOR_DEGREES(CALL)
#undef CALL
    }
  }
}

void backward_messages(const Path* paths, int n_paths, const int32_t* widths, int n_pairs,
                       const int32_t* first, const int32_t* second, const float* table,
                       const float* h, const float* t, const float* x, const float* ga, float* gh,
                       float* gt, float* gx) {
  float re[MOST], slope[MOST], gre[MOST];
  for (int e = 0; e < n_pairs; ++e) {
    radial(table, widths[2], x[e], re, slope);
    const float* te = t + std::size_t(e) * widths[1];
    float* gte = gt + std::size_t(e) * widths[1];
    const std::size_t i = first[e], j = second[e];
    for (int k = 0; k < n_paths; ++k) {
      const Path& p = paths[k];
      const float* const hs[2] = {h + j * widths[0] + p.h, h + i * widths[0] + p.h};
      float* const ghs[2] = {gh + j * widths[0] + p.h, gh + i * widths[0] + p.h};
      const float* const gas[2] = {ga + i * widths[3] + p.a, ga + j * widths[3] + p.a};
#define CALL(L1, L3) \
  backward_path<L1, L3>(p, hs, ghs, te + p.t, gte + p.t, re + p.r, gre + p.r, gas)
      FOR_DEGREES(CALL)
#undef CALL
    }
    vec total = {};
    for (int i = 0; i < widths[2]; i += WIDTH) total += load(gre + i) * load(slope + i);
    gx[e] = sum_of(total);
  }
}

}  // extern "C"
