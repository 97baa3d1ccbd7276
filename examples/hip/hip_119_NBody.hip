#include <hip/hip_runtime.h>

#include <cstdio>
#include <vector>

struct Body {
    double x, y, z;
    double mass;
};

#define SOFTENING 1e-3

// Acceleration of every body by every other; three doubles a body.
__global__ void nbody_accel(const Body* bodies, double* accel, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    double ax = 0.0, ay = 0.0, az = 0.0;
    for (int j = 0; j < n; j++) {
        double dx = bodies[j].x - bodies[i].x;
        double dy = bodies[j].y - bodies[i].y;
        double dz = bodies[j].z - bodies[i].z;
        double dist = sqrt(pow(dx, 2.0) + pow(dy, 2.0) + pow(dz, 2.0) + SOFTENING);
        ax += bodies[j].mass * dx / pow(dist, 3.0);
        ay += bodies[j].mass * dy / pow(dist, 3.0);
        az += bodies[j].mass * dz / pow(dist, 3.0);
    }
    accel[3 * i + 0] = ax;
    accel[3 * i + 1] = ay;
    accel[3 * i + 2] = az;
}

int main() {
    const int n = 512;
    std::vector<Body> bodies(n);
    for (int i = 0; i < n; ++i) bodies[i] = {i * 0.1, (i % 13) * 0.3, (i % 7) * 0.7, 1.0};
    Body* d_bodies;
    double* d_accel;
    (void)hipMalloc(&d_bodies, n * sizeof(Body));
    (void)hipMalloc(&d_accel, 3 * n * sizeof(double));
    (void)hipMemcpy(d_bodies, bodies.data(), n * sizeof(Body), hipMemcpyHostToDevice);
    nbody_accel<<<(n + 63) / 64, 64>>>(d_bodies, d_accel, n);
    std::vector<double> accel(3 * n);
    (void)hipMemcpy(accel.data(), d_accel, 3 * n * sizeof(double), hipMemcpyDeviceToHost);
    // Forces between equal masses cancel.
    double momentum = 0.0;
    for (int i = 0; i < n; ++i) momentum += accel[3 * i];
    printf("sum of ax: %g\n", momentum);
    return momentum > 1e-6 || momentum < -1e-6;
}
