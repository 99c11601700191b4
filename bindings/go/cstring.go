package libmm

// #include <stdlib.h>
import "C"

import (
	"strings"
	"unsafe"
)

// cString is a copy of s for the library, to be given back by freeString.
func cString(what, s string) (*C.char, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return nil, fail(StatusArg, "%s: %q holds a NUL byte", what, s)
	}
	return C.CString(s), nil
}

func freeString(s *C.char) { C.free(unsafe.Pointer(s)) }
