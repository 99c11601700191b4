package libmm

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const root = "../.."

type tableCase struct {
	Name     string
	Model    string
	Call     string
	Text     string
	Flags    TokenizeFlags
	IDs      []int32
	Messages json.RawMessage
	Options  struct {
		MaxTokens int  `json:"max_tokens"`
		Raw       bool `json:"raw"`
		IgnoreEOS bool `json:"ignore_eos"`
	}
	Set       map[string]string
	Input     []tableItem
	Want      result
	Tolerance float64
}

type tableItem struct {
	Text, Role, Image, Audio *string
	Tokens                   []int32
	Messages                 json.RawMessage
}

// result is what a case gave: here, in C, and by the reference.
type result struct {
	Name         string
	IDs          []int32
	Text         *string // hexadecimal in C's
	Vectors      [][]float64
	Scores       [][]float64
	Segments     [][3]any
	Language     string // hexadecimal in C's
	Reason       string
	PromptTokens int `json:"prompt_tokens"`
}

// TestTable runs the cases that C, Python and Go share. LIBMM_TABLE names what C printed (tests/bindings/table.c).
func TestTable(t *testing.T) {
	var table struct{ Cases []tableCase }
	readJSON(t, filepath.Join(root, "tests/bindings/table.json"), &table)
	if len(table.Cases) == 0 {
		t.Fatal("the table is empty")
	}
	printed := printedByC(t)
	for i := range table.Cases {
		c := &table.Cases[i]
		t.Run(c.Name, func(t *testing.T) {
			got := c.run(t)
			c.compare(t, &got)
			if printed == nil {
				return
			}
			theirs, ok := printed[c.Name]
			if !ok {
				t.Fatal("C did not run this case")
			}
			if a, b := fmt.Sprint(got.show()), fmt.Sprint(theirs.show()); a != b {
				t.Errorf("Go and C differ:\n%s\n%s", a, b)
			}
		})
	}
}

func printedByC(t *testing.T) map[string]*result {
	path := os.Getenv("LIBMM_TABLE")
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	all := map[string]*result{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		r := &result{}
		must(t, json.Unmarshal(lines.Bytes(), r))
		all[r.Name] = r
	}
	must(t, lines.Err())
	return all
}

// show is all that was computed, to the last bit.
func (r *result) show() []any {
	text := "none"
	if r.Text != nil {
		text = *r.Text
	}
	return []any{r.IDs, text, r.Vectors, r.Scores, r.Segments, r.Language, r.Reason, r.PromptTokens}
}

func (c *tableCase) run(t *testing.T) (r result) {
	engine, err := NewEngine(WithPrecision(PrecisionExact))
	must(t, err)
	defer engine.Close()
	m, err := engine.Open(filepath.Join(root, c.Model))
	must(t, err)
	defer m.Close()
	var text string
	switch c.Call {
	case "tokenize":
		r.IDs, err = m.Tokenize(c.Text, c.Flags)
		must(t, err)
		return r
	case "detokenize":
		text, err = m.Detokenize(c.IDs, c.Flags)
	case "template":
		text, err = m.ApplyTemplate(c.Messages, true)
	default:
		c.play(t, m, &r)
		return r
	}
	must(t, err)
	r.Text = inHex(text)
	return r
}

func inHex(s string) *string {
	x := hex.EncodeToString([]byte(s))
	return &x
}

func (c *tableCase) play(t *testing.T, m *Model, r *result) {
	opts := []Option{WithMaxTokens(c.Options.MaxTokens)}
	if c.Options.Raw {
		opts = append(opts, WithRaw())
	}
	if c.Options.IgnoreEOS {
		opts = append(opts, WithIgnoreEOS())
	}
	for k, v := range c.Set {
		opts = append(opts, WithSetting(k, v))
	}
	s := session(t, m, opts...)
	var parts Parts
	for _, i := range c.Input {
		parts = append(parts, i.part())
	}
	must(t, s.Feed(parts...))
	text := ""
	for {
		e, err := s.Next(background)
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		switch e.Kind {
		case EventText:
			text += e.Text
		case EventVector:
			r.Vectors = append(r.Vectors, wide(e.Values))
		case EventScores:
			r.Scores = append(r.Scores, wide(e.Values))
		case EventLanguage:
			r.Language = *inHex(e.Text)
		case EventSegment:
			r.Segments = append(r.Segments, [3]any{e.Start, e.End, *inHex(e.Text)})
		case EventEnd:
			r.IDs, r.Reason, r.PromptTokens = e.IDs, e.Text, e.PromptTokens
		}
	}
	if text != "" {
		r.Text = inHex(text)
	}
}

func wide(v []float32) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

func (i *tableItem) part() Part {
	switch {
	case i.Text != nil:
		return Text(*i.Text)
	case i.Role != nil:
		return Role(*i.Role)
	case i.Image != nil:
		return ImageFile(filepath.Join(root, *i.Image))
	case i.Audio != nil:
		return AudioFile(filepath.Join(root, *i.Audio))
	case i.Tokens != nil:
		return Tokens(i.Tokens)
	}
	return Messages(i.Messages, root)
}

// UnmarshalJSON gives the times of a segment the form they have here.
func (r *result) UnmarshalJSON(data []byte) error {
	type plain result
	if err := json.Unmarshal(data, (*plain)(r)); err != nil {
		return err
	}
	for i := range r.Segments {
		for k := 0; k < 2; k++ {
			seconds, _ := r.Segments[i][k].(float64)
			r.Segments[i][k] = time.Duration(math.Round(seconds * 1e9))
		}
	}
	return nil
}

// compare holds the result against the reference.
func (c *tableCase) compare(t *testing.T, got *result) {
	if c.Want.IDs != nil && !equal(got.IDs, c.Want.IDs) {
		t.Errorf("ids %v, not %v", got.IDs, c.Want.IDs)
	}
	if c.Want.Text != nil && (got.Text == nil || *got.Text != *inHex(*c.Want.Text)) {
		t.Errorf("text %v, not %q", got.Text, *c.Want.Text)
	}
	c.near(t, "vectors", got.Vectors, c.Want.Vectors)
	c.near(t, "scores", got.Scores, c.Want.Scores)
}

func (c *tableCase) near(t *testing.T, what string, got, want [][]float64) {
	if want != nil && len(got) != len(want) {
		t.Errorf("%d %s, not %d", len(got), what, len(want))
		return
	}
	for i := range want {
		if len(got[i]) != len(want[i]) {
			t.Errorf("%s %d has %d values, not %d", what, i, len(got[i]), len(want[i]))
			continue
		}
		for k := range want[i] {
			if !(math.Abs(got[i][k]-want[i][k]) <= c.Tolerance) {
				t.Errorf("%s %d: value %d is %v, not %v", what, i, k, got[i][k], want[i][k])
				break
			}
		}
	}
}
