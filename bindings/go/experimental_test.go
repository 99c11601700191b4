//go:build libmm_experimental

package libmm

import "testing"

func TestLogits(t *testing.T) {
	m := open(t, "llama")
	s := session(t, m, WithMaxTokens(3), WithIgnoreEOS())
	_, err := s.Logits()
	want(t, err, ErrState)
	must(t, s.Feed(Text("Hi")))
	for i := 0; i < 3; i++ {
		e, err := s.Next(background)
		must(t, err)
		logits, err := s.Logits()
		must(t, err)
		best := 0
		for id, x := range logits {
			if x > logits[best] {
				best = id
			}
		}
		if int32(best) != e.ID {
			t.Errorf("token %d was chosen, not %d", e.ID, best)
		}
	}
	_, err = new(Session).Logits()
	want(t, err, ErrArg)
}
