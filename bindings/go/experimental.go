//go:build libmm_experimental

package libmm

// #include <libmm_experimental.h>
import "C"

import "unsafe"

// Logits are the scores that the latest text event was chosen from, one for each id of the vocabulary, before temperature,
// penalties and softmax. Not promised: a release may change it or take it away, and a program that was built with it
// (-tags libmm_experimental) does not start then.
func (s *Session) Logits() ([]float32, error) {
	if err := s.seize(); err != nil {
		return nil, err
	}
	defer s.h.yield()
	e := newError()
	var logits *C.float
	var n C.size_t
	if st := C.mm_x_session_logits(s.p, &logits, &n, e); st < 0 {
		return nil, failure(st, e)
	}
	return append([]float32(nil), unsafe.Slice((*float32)(unsafe.Pointer(logits)), int(n))...), nil
}
