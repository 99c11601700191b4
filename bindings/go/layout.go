package libmm

// #include <libmm.h>
import "C"

import "reflect"

// HeaderVersion is the version of the header this package was built with, laid out as Version.
const HeaderVersion = uint32(C.MM_VERSION)

// layout is what cgo made of the header's structs, for the tests, in which there is no cgo.
func layout() map[string]reflect.Type {
	return map[string]reflect.Type{
		"mm_error":           reflect.TypeOf(C.mm_error{}),
		"mm_allocator":       reflect.TypeOf(C.mm_allocator{}),
		"mm_files":           reflect.TypeOf(C.mm_files{}),
		"mm_executor":        reflect.TypeOf(C.mm_executor{}),
		"mm_engine_options":  reflect.TypeOf(C.mm_engine_options{}),
		"mm_model_options":   reflect.TypeOf(C.mm_model_options{}),
		"mm_image":           reflect.TypeOf(C.mm_image{}),
		"mm_audio":           reflect.TypeOf(C.mm_audio{}),
		"mm_session_options": reflect.TypeOf(C.mm_session_options{}),
		"mm_logprob":         reflect.TypeOf(C.mm_logprob{}),
		"mm_event":           reflect.TypeOf(C.mm_event{}),
	}
}

// used are the header's constants that the package knows by their C names only.
func used() map[string]int64 {
	return map[string]int64{
		"MM_VERSION_MAJOR":  C.MM_VERSION_MAJOR,
		"MM_VERSION_MINOR":  C.MM_VERSION_MINOR,
		"MM_VERSION_PATCH":  C.MM_VERSION_PATCH,
		"MM_FILE_NONE":      C.MM_FILE_NONE,
		"MM_FILE_REGULAR":   C.MM_FILE_REGULAR,
		"MM_FILE_DIRECTORY": C.MM_FILE_DIRECTORY,
	}
}
