// libm's functions that round to an integer in the current mode: a GPU's round to nearest, ties to
// even, whatever the mode that the microscope runs a kernel in.
#include <cmath>

namespace {

template <class T>
T to_even(T x) {
    const T nearest = std::round(x);  // ties away from zero
    if (std::fabs(x - std::trunc(x)) != T(0.5)) return nearest;
    return T(2) * std::round(x / T(2));
}

}  // namespace

extern "C" {
double rint(double x) { return to_even(x); }
float rintf(float x) { return to_even(x); }
double nearbyint(double x) { return to_even(x); }
float nearbyintf(float x) { return to_even(x); }
long lrint(double x) { return static_cast<long>(to_even(x)); }
long lrintf(float x) { return static_cast<long>(to_even(x)); }
long long llrint(double x) { return static_cast<long long>(to_even(x)); }
long long llrintf(float x) { return static_cast<long long>(to_even(x)); }
}
