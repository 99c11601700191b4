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

// withSetting calls f with a key and its value as C strings.
func withSetting(key, value string, f func(k, v *C.char) error) error {
	k, err := cString("key", key)
	if err != nil {
		return err
	}
	defer freeString(k)
	v, err := cString("value", value)
	if err != nil {
		return err
	}
	defer freeString(v)
	return f(k, v)
}
