// What every shader begins with. A workgroup has as many invocations as specialisation constant 0 says. Constants 1 to 5 are
// the shader's own. Buffers are bindings 0 to 7 of set 0, in the order in which the recording function binds them (kern.h).

// Variants: SUBGROUPS is defined where invocations of a subgroup may add up without shared memory, F16_MATH where F16 is a
// type to compute with, MATRIX_UNITS where subgroups multiply matrices of it. What the device must report for them:
// src/backend/vulkan/device.h.
#ifdef SUBGROUPS
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif
#ifdef MATRIX_UNITS
#define F16_MATH
#extension GL_NV_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#endif
#ifdef F16_MATH
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif

layout(local_size_x_id = 0) in;

// Where the rows of a view begin: all leading axes flattened, the last one varying fastest. Numbers are in elements of four
// bytes; off counts from the start of the binding.
struct View {
    uint off, n1, n2, s0, s1, s2;
};

uint row_of(View v, uint r)
{
    uint i2 = r % v.n2, q = r / v.n2;
    return v.off + q / v.n1 * v.s0 + q % v.n1 * v.s1 + i2 * v.s2;
}

// This invocation's number among all of the dispatch, and how many there are: a loop over elements begins at the one and
// steps by the other, because a device may run fewer workgroups than there is work.
#define FIRST gl_GlobalInvocationID.x
#define STEP (gl_NumWorkGroups.x * gl_WorkGroupSize.x)
