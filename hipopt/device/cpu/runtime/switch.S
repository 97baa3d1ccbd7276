// hipopt_switch(void** saved, void* next): parks this stack in *saved and continues on `next`.
    .text
    .globl hipopt_switch
    .type hipopt_switch, %function
#if defined(__x86_64__)
hipopt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmpq *%rcx  // not ret: the processor would predict a return to this stack
#elif defined(__aarch64__)
hipopt_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
#else
#error "the CPU device knows x86-64 and aarch64"
#endif
    .size hipopt_switch, . - hipopt_switch

// The process starts here: the sandbox closes before libc, constructors or the kernel run.
    .globl hipopt_entry
    .type hipopt_entry, %function
hipopt_entry:
#if defined(__x86_64__)
    xorl %ebp, %ebp
    movq %rdx, %r12
    call hipopt_close_sandbox
    movq %r12, %rdx
    jmp _start
#else
    mov x19, x0
    bl hipopt_close_sandbox
    mov x0, x19
    b _start
#endif
    .size hipopt_entry, . - hipopt_entry

// All static LDS of the kernel's object lies between this mark and hipopt_lds_end.
    .section .tbss, "awT", %nobits
    .balign 256
    .globl hipopt_lds_begin
    .type hipopt_lds_begin, %tls_object
hipopt_lds_begin:
    .zero 16
    .size hipopt_lds_begin, 16

// The kernel's globals and statics lie between these marks and those of compiler.py.
    .section .tdata, "awT", %progbits
    .balign 64
    .globl hipopt_tdata_begin
    .type hipopt_tdata_begin, %tls_object
hipopt_tdata_begin:
    .data
    .balign 64
    .globl hipopt_data_begin
hipopt_data_begin:
    .bss
    .balign 64
    .globl hipopt_bss_begin
hipopt_bss_begin:
    .section .note.GNU-stack, "", %progbits
