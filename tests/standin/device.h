// What the body of a kernel finds on a GPU, for a C++ compiler on the host: CuPy's arrays and half precision, CUDA's
// functions. No header of the system is included, which would take most of the time of a compilation.

typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef __SIZE_TYPE__ size_t;

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __restrict__ __restrict
#define CUDART_INF_F __builtin_inff()
#define CUDART_NAN_F __builtin_nanf("")
#define CUDART_INF __builtin_inf()
#define CUDART_NAN __builtin_nan("")

// --- bits

template<class To, class From> inline To bits_as(From x) {
    static_assert(sizeof(To) == sizeof(From), "bits_as");
    To y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}
inline int __float_as_int(float x) { return bits_as<int>(x); }
inline unsigned __float_as_uint(float x) { return bits_as<unsigned>(x); }
inline float __int_as_float(int x) { return bits_as<float>(x); }
inline float __uint_as_float(unsigned x) { return bits_as<float>(x); }
inline long long __double_as_longlong(double x) { return bits_as<long long>(x); }
inline double __longlong_as_double(long long x) { return bits_as<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
inline int __mulhi(int a, int b) { return (long long)a * b >> 32; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}
inline long long __mul64hi(long long a, long long b) { return (__int128)a * b >> 64; }

// --- CuPy's half precision: a float between loads and stores; the nearest half, ties to even

class float16 {
    unsigned short bits;

    static unsigned short narrowed(float x) {
        unsigned u = __float_as_uint(x), sign = u >> 16 & 0x8000u;
        u &= 0x7fffffffu;
        if (u > 0x7f800000u) return sign | 0x7e00u;
        if (u >= 0x47800000u) return sign | 0x7c00u;
        if (u < 0x38800000u)  // below the least normal half: let the addition to 0.5 round
            return sign | (__float_as_uint(__uint_as_float(u) + 0.5f) - 0x3f000000u);
        return sign | (u - 0x38000000u + 0xfffu + (u >> 13 & 1u)) >> 13;
    }

public:
    float16() {}
    float16(float x) : bits(narrowed(x)) {}
    explicit float16(bool x) : bits(narrowed(x)) {}
    explicit float16(double x) : bits(narrowed(x)) {}
    explicit float16(int x) : bits(narrowed(x)) {}
    explicit float16(unsigned x) : bits(narrowed(x)) {}
    explicit float16(long long x) : bits(narrowed(x)) {}
    explicit float16(unsigned long long x) : bits(narrowed(x)) {}
    operator float() const {
        unsigned sign = (bits & 0x8000u) << 16, rest = (bits & 0x7fffu) << 13;
        if (rest >= 0x0f800000u) return __uint_as_float(sign | (rest + 0x70000000u));  // inf, nan
        float x = __uint_as_float(rest) * 5.192296858534828e33f;  // 2^112, exact for subnormals, too
        return __uint_as_float(sign | __float_as_uint(x));
    }
    float16& operator=(const float16&) = default;
    float16(const float16&) = default;
    template<class X> float16& operator=(const X& x) { return *this = static_cast<float16>(x); }
    template<class X> float16& operator+=(const X& x) { return *this = *this + x; }
    template<class X> float16& operator-=(const X& x) { return *this = *this - x; }
    template<class X> float16& operator*=(const X& x) { return *this = *this * x; }
    template<class X> float16& operator/=(const X& x) { return *this = *this / x; }
};

// --- CUDA's functions of one and two numbers, for both precisions

namespace cuda_functions {
#define ONE(name) \
    inline float name(float x) { return __builtin_##name##f(x); } \
    inline double name(double x) { return __builtin_##name(x); }
#define TWO(name) \
    inline float name(float x, float y) { return __builtin_##name##f(x, y); } \
    inline double name(double x, double y) { return __builtin_##name(x, y); }
ONE(exp) ONE(exp2) ONE(expm1) ONE(log) ONE(log2) ONE(log10) ONE(log1p) ONE(sqrt) ONE(cbrt) ONE(sin) ONE(cos) ONE(tan)
ONE(asin) ONE(acos) ONE(atan) ONE(sinh) ONE(cosh) ONE(tanh) ONE(asinh) ONE(acosh) ONE(atanh) ONE(erf) ONE(erfc)
ONE(lgamma) ONE(tgamma) ONE(fabs) ONE(floor) ONE(ceil) ONE(trunc) ONE(round) ONE(rint)
TWO(pow) TWO(fmod) TWO(atan2) TWO(hypot) TWO(copysign) TWO(fmin) TWO(fmax)
#undef ONE
#undef TWO

inline float rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline double fma(double x, double y, double z) { return __builtin_fma(x, y, z); }
inline int isnan(float x) { return __builtin_isnan(x); }
inline int isnan(double x) { return __builtin_isnan(x); }
inline int isinf(float x) { return __builtin_isinf(x) != 0; }
inline int isinf(double x) { return __builtin_isinf(x) != 0; }
inline int isfinite(float x) { return __builtin_isfinite(x); }
inline int isfinite(double x) { return __builtin_isfinite(x); }
inline int signbit(float x) { return __builtin_signbit(x) != 0; }
inline int signbit(double x) { return __builtin_signbit(x) != 0; }

inline float abs(float x) { return __builtin_fabsf(x); }
inline double abs(double x) { return __builtin_fabs(x); }
inline int abs(int x) { return x < 0 ? -x : x; }
inline long long abs(long long x) { return x < 0 ? -x : x; }

#define ORDER(R, X, Y) \
    inline R min(X x, Y y) { return (R)x < (R)y ? (R)x : (R)y; } \
    inline R max(X x, Y y) { return (R)x > (R)y ? (R)x : (R)y; }
ORDER(int, int, int) ORDER(unsigned, unsigned, unsigned) ORDER(unsigned, int, unsigned) ORDER(unsigned, unsigned, int)
ORDER(long, long, long) ORDER(unsigned long, unsigned long, unsigned long)
ORDER(long long, long long, long long) ORDER(unsigned long long, unsigned long long, unsigned long long)
#undef ORDER
#define ORDER(R, X, Y) \
    inline R min(X x, Y y) { return fmin((R)x, (R)y); } \
    inline R max(X x, Y y) { return fmax((R)x, (R)y); }
ORDER(float, float, float) ORDER(double, double, double) ORDER(double, float, double) ORDER(double, double, float)
#undef ORDER
inline float16 min(float16 x, float16 y) { return fmin(float(x), float(y)); }
inline float16 max(float16 x, float16 y) { return fmax(float(x), float(y)); }

template<class X> inline X atomicAdd(X* address, X value) {
    X before = *address;
    *address = before + value;
    return before;
}
}  // namespace cuda_functions
using namespace cuda_functions;

// --- CuPy's arrays: `x[i]` is the i-th element in C order of an array with any strides

struct Memory {
    char* data;
    ptrdiff_t size, dense, ndim, shape[16], strides[16];
};

static thread_local ptrdiff_t outside[2];  // an access out of bounds: the number of the array, counted from 1; the index

template<class X> class CArray {
    const Memory& memory;
    const int number;

    X* at(ptrdiff_t i) const {
        if (i < 0 || i >= memory.size) {
            static thread_local X nowhere;
            if (!outside[0]) outside[0] = number, outside[1] = i;
            return &nowhere;
        }
        if (memory.dense) return (X*)memory.data + i;
        char* place = memory.data;
        for (ptrdiff_t k = memory.ndim; k-- > 0; i /= memory.shape[k]) place += i % memory.shape[k] * memory.strides[k];
        return (X*)place;
    }

public:
    CArray(const Memory* all, int k) : memory(all[k]), number(k + 1) {}
    X& operator[](ptrdiff_t i) { return *at(i); }
    const X& operator[](ptrdiff_t i) const { return *at(i); }
    ptrdiff_t size() const { return memory.size; }
};

struct CIndexer {
    ptrdiff_t n;
    ptrdiff_t size() const { return n; }
};
