#include <hip/hip_runtime.h>

#include <cmath>
#include <cstdio>
#include <vector>

// Cumulative normal distribution, the five-term polynomial of Abramowitz and Stegun.
__device__ float cnd(float d) {
    const float k = 1.0f / (1.0f + 0.2316419f * fabsf(d));
    const float tail = expf(-0.5f * d * d) * 0.3989422804f *
                       (0.319381530f * k - 0.356563782f * powf(k, 2.0f) + 1.781477937f * powf(k, 3.0f) -
                        1.821255978f * powf(k, 4.0f) + 1.330274429f * powf(k, 5.0f));
    return d > 0.0f ? 1.0f - tail : tail;
}

extern "C" __global__ void __launch_bounds__(128)
black_scholes(const float* spot, const float* strike, const float* years, float* call, float* put,
              float rate, float volatility, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        const float d1 = (logf(spot[i] / strike[i]) + (rate + 0.5f * volatility * volatility) * years[i]) /
                         (volatility * sqrtf(years[i]));
        const float d2 = d1 - volatility * sqrtf(years[i]);
        call[i] = spot[i] * cnd(d1) - strike[i] * expf(-rate * years[i]) * cnd(d2);
        put[i] = strike[i] * expf(-rate * years[i]) * cnd(-d2) - spot[i] * cnd(-d1);
    }
}

int main() {
    const int n = 4000;
    std::vector<float> spot(n), strike(n), years(n), call(n), put(n);
    for (int i = 0; i < n; ++i) {
        spot[i] = 5.0f + i % 25;
        strike[i] = 1.0f + i % 99;
        years[i] = 0.25f + (i % 39) * 0.25f;
    }
    float* d[5];
    for (float*& p : d) (void)hipMalloc(&p, n * sizeof(float));
    (void)hipMemcpy(d[0], spot.data(), n * sizeof(float), hipMemcpyHostToDevice);
    (void)hipMemcpy(d[1], strike.data(), n * sizeof(float), hipMemcpyHostToDevice);
    (void)hipMemcpy(d[2], years.data(), n * sizeof(float), hipMemcpyHostToDevice);
    black_scholes<<<(n + 127) / 128, 128>>>(d[0], d[1], d[2], d[3], d[4], 0.02f, 0.3f, n);
    (void)hipMemcpy(call.data(), d[3], n * sizeof(float), hipMemcpyDeviceToHost);
    (void)hipMemcpy(put.data(), d[4], n * sizeof(float), hipMemcpyDeviceToHost);
    int wrong = 0;
    for (int i = 0; i < n; ++i) {  // put-call parity
        const float parity = spot[i] - strike[i] * std::exp(-0.02f * years[i]);
        wrong += std::fabs(call[i] - put[i] - parity) > 1e-3f * (1.0f + std::fabs(parity));
    }
    printf("%d of %d off\n", wrong, n);
    return wrong != 0;
}
