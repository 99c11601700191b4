package libmm

// #include <libmm.h>
import "C"

import (
	"fmt"
	"syscall"
)

// Status is what a call of the C library returned: 0 ok, positive ok with a note, negative an error.
type Status int32

// The statuses, as the header numbers them.
const (
	StatusOK          Status = 0
	StatusEnd         Status = 1    // nothing more
	StatusArg         Status = -1   // an argument is out of range or contradicts another
	StatusState       Status = -2   // the call does not fit the handle's state, goroutine or process
	StatusSpace       Status = -3   // a buffer is too small
	StatusKey         Status = -4   // unknown option or info key
	StatusNoMem       Status = -5   // out of memory, or beyond the engine's limit
	StatusLimit       Status = -6   // a documented limit was exceeded
	StatusInternal    Status = -7   // a broken invariant: please report it
	StatusIO          Status = -101 // the file is missing or cannot be read or written
	StatusFormat      Status = -102 // the file is damaged or is not what it claims
	StatusUnsupported Status = -103 // needs something this model or build does not have
	StatusMedia       Status = -104 // a picture or sound cannot be decoded
	StatusDevice      Status = -201 // no such device, or it failed
	StatusCancelled   Status = -301 // Cancel, a context or a callback asked to stop
	StatusContext     Status = -302 // the input does not fit the context
	StatusNumeric     Status = -303 // the model produced NaN or infinity
)

// String is the name the header gives the status, such as "MM_E_IO".
func (s Status) String() string { return C.GoString(C.mm_status_name(C.mm_status(s))) }

// StatusInfo describes one status.
type StatusInfo struct {
	Status  Status
	Name    string // "MM_E_IO"
	Meaning string
}

// Statuses lists every status of the library that runs.
func Statuses() []StatusInfo {
	var all []StatusInfo
	for i := C.uint32_t(0); ; i++ {
		var status C.mm_status
		var name, meaning *C.char
		if C.mm_status_at(i, &status, &name, &meaning) != C.MM_OK {
			return all
		}
		all = append(all, StatusInfo{Status(status), C.GoString(name), C.GoString(meaning)})
	}
}

// Error says why a call failed. errors.Is(err, ErrIO) and the like compare the status.
type Error struct {
	Status Status
	Name   string // of the status: "MM_E_IO"
	Text   string // one sentence that names file, place and remedy
	OSCode int    // errno, or what a callback returned, where one applies; else 0

	cause error
}

// Errors to compare with by errors.Is.
var (
	ErrArg         error = &Error{Status: StatusArg, Name: "MM_E_ARG"}
	ErrState       error = &Error{Status: StatusState, Name: "MM_E_STATE"}
	ErrSpace       error = &Error{Status: StatusSpace, Name: "MM_E_SPACE"}
	ErrKey         error = &Error{Status: StatusKey, Name: "MM_E_KEY"}
	ErrNoMem       error = &Error{Status: StatusNoMem, Name: "MM_E_NOMEM"}
	ErrLimit       error = &Error{Status: StatusLimit, Name: "MM_E_LIMIT"}
	ErrInternal    error = &Error{Status: StatusInternal, Name: "MM_E_INTERNAL"}
	ErrIO          error = &Error{Status: StatusIO, Name: "MM_E_IO"}
	ErrFormat      error = &Error{Status: StatusFormat, Name: "MM_E_FORMAT"}
	ErrUnsupported error = &Error{Status: StatusUnsupported, Name: "MM_E_UNSUPPORTED"}
	ErrMedia       error = &Error{Status: StatusMedia, Name: "MM_E_MEDIA"}
	ErrDevice      error = &Error{Status: StatusDevice, Name: "MM_E_DEVICE"}
	ErrCancelled   error = &Error{Status: StatusCancelled, Name: "MM_E_CANCELLED"}
	ErrContext     error = &Error{Status: StatusContext, Name: "MM_E_CONTEXT"}
	ErrNumeric     error = &Error{Status: StatusNumeric, Name: "MM_E_NUMERIC"}
)

func (e *Error) Error() string {
	if e.Text == "" {
		return "libmm: " + e.Name
	}
	return "libmm: " + e.Text + " (" + e.Name + ")"
}

// Is reports whether target is one of the Err variables with the same status.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Text == "" && t.Status == e.Status
}

// Unwrap gives what lies behind the failure, where that is known: the context's error, what a callback returned, or the
// operating system's error.
func (e *Error) Unwrap() error { return e.cause }

// because names what lies behind a failure.
func because(err, cause error) error {
	if e, ok := err.(*Error); ok && cause != nil {
		e.cause = cause
	}
	return err
}

// fail makes an error of the binding's own.
func fail(status Status, format string, args ...any) error {
	return &Error{Status: status, Name: status.String(), Text: fmt.Sprintf(format, args...)}
}

// newError is where the C library writes its reason.
func newError() *C.mm_error { return &C.mm_error{size: C.sizeof_mm_error} }

// failure is the error of a status, nil for MM_OK and above.
func failure(st C.mm_status, e *C.mm_error) error {
	if st >= 0 {
		return nil
	}
	err := &Error{Status: Status(st), Name: Status(st).String(), Text: C.GoString(&e.text[0]), OSCode: int(e.os_code)}
	if st == C.MM_E_IO && err.OSCode > 0 {
		err.cause = syscall.Errno(err.OSCode)
	}
	return err
}
