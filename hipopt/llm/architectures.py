"""What a kernel's author has to know of a GPU.

Sources: AMD's CDNA 2, CDNA 3, CDNA 4 and RDNA 3 white papers and instruction set guides, and the
accelerator specification table of the ROCm documentation. Per graphics compute die for gfx90a,
which is what a program sees as one GPU there.
"""

from __future__ import annotations

from hipopt.records import Record


class Architecture(Record, frozen=True, kw_only=True):
    """Facts of one offload architecture."""

    arch: str
    products: str
    wave_size: int
    compute_units: str
    """With the product, where products differ."""
    lds_bytes: int
    """Most LDS of one block."""
    vgprs: str
    """Registers a lane, and what they mean for occupancy."""
    memory: str
    """Bandwidth, with the product where products differ."""
    caches: str
    notes: str = ""

    def describe(self) -> str:
        """The facts as a list in Markdown."""
        lines = [
            f"- {self.arch}: {self.products}",
            f"- wavefront: {self.wave_size} lanes; at most 1024 threads a block",
            f"- compute units: {self.compute_units}",
            f"- LDS: at most {self.lds_bytes // 1024} KiB a block, 32 or more banks of 4 bytes",
            f"- registers: {self.vgprs}",
            f"- memory: {self.memory}",
            f"- caches: {self.caches}",
        ]
        return "\n".join(lines + ([f"- {self.notes}"] if self.notes else []))


_CDNA_VGPRS = (
    "512 VGPRs a lane and SIMD, shared by its waves (4 SIMDs a CU, at most 8 waves a SIMD): "
    "up to 64 a lane for 8 waves, 128 for 4, 256 for 2"
)
_CDNA_3_CACHES = "32 KiB vector L1 a CU, 4 MiB L2 a die, 256 MiB Infinity Cache, lines of 128 bytes"
_SEVERAL_DIES = "blocks go to the dies in turn: neighbouring blocks do not share an L2"

ARCHITECTURES = {
    a.arch: a
    for a in (
        Architecture(
            arch="gfx90a",
            products="AMD Instinct MI210, MI250, MI250X (CDNA 2)",
            wave_size=64,
            compute_units="104 (MI210, MI250) or 110 (MI250X) a die",
            lds_bytes=64 * 1024,
            vgprs=_CDNA_VGPRS,
            memory="HBM2e, 1.6 TB/s a die",
            caches="16 KiB vector L1 a CU, 8 MiB L2 a die, lines of 64 (L1) and 128 bytes (L2)",
        ),
        Architecture(
            arch="gfx942",
            products="AMD Instinct MI300X, MI300A, MI325X (CDNA 3)",
            wave_size=64,
            compute_units="304 (MI300X, MI325X) or 228 (MI300A) in dies of 38",
            lds_bytes=64 * 1024,
            vgprs=_CDNA_VGPRS,
            memory="HBM3, 5.3 TB/s (MI300X, MI300A); HBM3E, 6 TB/s (MI325X)",
            caches=_CDNA_3_CACHES,
            notes=_SEVERAL_DIES,
        ),
        Architecture(
            arch="gfx950",
            products="AMD Instinct MI350X, MI355X (CDNA 4)",
            wave_size=64,
            compute_units="256 in dies of 32",
            lds_bytes=160 * 1024,
            vgprs=_CDNA_VGPRS,
            memory="HBM3E, 8 TB/s",
            caches=_CDNA_3_CACHES,
            notes=_SEVERAL_DIES,
        ),
        Architecture(
            arch="gfx1100",
            products="AMD Radeon RX 7900 XTX, RX 7900 XT, PRO W7900 (RDNA 3)",
            wave_size=32,
            compute_units="96 (RX 7900 XTX, PRO W7900) or 84 (RX 7900 XT), paired",
            lds_bytes=64 * 1024,
            vgprs="1536 VGPRs a lane and SIMD with 32 lanes, at most 256 a wave",
            memory="GDDR6, 960 GB/s (RX 7900 XTX)",
            caches="6 MiB L2, 96 MiB Infinity Cache (RX 7900 XTX), lines of 128 bytes",
        ),
    )
}


def describe_architecture(arch: str) -> str:
    """Facts about an offload architecture; features after a colon are ignored."""
    known = ARCHITECTURES.get(arch.partition(":")[0])
    if known is not None:
        return known.describe()
    return f"- {arch}; take the wavefront's size from `warpSize`, not from a constant"
