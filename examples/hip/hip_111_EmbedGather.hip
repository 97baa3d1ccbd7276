#include <torch/extension.h>
#include <hip/hip_runtime.h>

typedef long long index_t;

// Token embedding, scaled by sqrt(dim), plus the sinusoidal position. One block a token.
__global__ void embed_gather(const float* table, const int* tokens, float* out, int vocab, int dim) {
    const int pos = blockIdx.x;
    for (index_t c = threadIdx.x; c < dim; c += blockDim.x) {
        const index_t token = tokens[pos] % vocab;
        const double scale = pow((double)dim, 0.5);
        const float freq = powf(10000.0f, -(float)(c / 2 * 2) / dim);
        float value = scale * table[token * dim + c];
        value += (c % 2 == 0) * sinf(pos * freq) + (c % 2 == 1) * cosf(pos * freq);
        out[(index_t)pos * dim + c] = value;
    }
}

torch::Tensor embed(torch::Tensor table, torch::Tensor tokens) {
    const int count = tokens.numel();
    const int vocab = table.size(0);
    const int dim = table.size(1);
    auto out = torch::empty({count, dim}, table.options());
    embed_gather<<<count, 64>>>(table.data_ptr<float>(), tokens.data_ptr<int>(),
                                out.data_ptr<float>(), vocab, dim);
    return out;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &embed, "token embedding with positions");
}
