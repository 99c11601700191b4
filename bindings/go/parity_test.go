package libmm

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The header's constants under their names here.
var constants = map[string]int64{
	"MM_VERSION": int64(HeaderVersion),
	"MM_OK":      int64(StatusOK), "MM_END": int64(StatusEnd), "MM_E_ARG": int64(StatusArg), "MM_E_STATE": int64(StatusState),
	"MM_E_SPACE": int64(StatusSpace), "MM_E_KEY": int64(StatusKey), "MM_E_NOMEM": int64(StatusNoMem),
	"MM_E_LIMIT": int64(StatusLimit), "MM_E_INTERNAL": int64(StatusInternal), "MM_E_IO": int64(StatusIO),
	"MM_E_FORMAT": int64(StatusFormat), "MM_E_UNSUPPORTED": int64(StatusUnsupported), "MM_E_MEDIA": int64(StatusMedia),
	"MM_E_DEVICE": int64(StatusDevice), "MM_E_CANCELLED": int64(StatusCancelled), "MM_E_CONTEXT": int64(StatusContext),
	"MM_E_NUMERIC": int64(StatusNumeric),
	"MM_LOG_ERROR": int64(LogError), "MM_LOG_WARN": int64(LogWarn), "MM_LOG_INFO": int64(LogInfo), "MM_LOG_DEBUG": int64(LogDebug),
	"MM_PRECISION_FAST": int64(PrecisionFast), "MM_PRECISION_EXACT": int64(PrecisionExact),
	"MM_TOKENIZE_AROUND": int64(TokenizeAround), "MM_TOKENIZE_SPECIAL": int64(TokenizeSpecial),
	"MM_PIXELS_RGB": int64(PixelsRGB), "MM_PIXELS_RGBA": int64(PixelsRGBA), "MM_PIXELS_BGR": int64(PixelsBGR),
	"MM_PIXELS_GREY": int64(PixelsGrey), "MM_SAMPLES_F32": samplesF32, "MM_SAMPLES_I16": samplesI16,
	"MM_SESSION_RAW": sessionRaw, "MM_SESSION_IGNORE_EOS": sessionIgnoreEOS, "MM_SESSION_LOGPROBS": sessionLogProbs,
	"MM_EVENT_TEXT": int64(EventText), "MM_EVENT_SEGMENT": int64(EventSegment), "MM_EVENT_LANGUAGE": int64(EventLanguage),
	"MM_EVENT_VECTOR": int64(EventVector), "MM_EVENT_SCORES": int64(EventScores), "MM_EVENT_TENSOR": int64(EventTensor),
	"MM_EVENT_END": int64(EventEnd),
}

// What the header has and this package leaves out, and why.
var leftOut = map[string]string{
	"mm_engine_options.allocator": "memory that Go manages must not be kept by C",
	"mm_engine_options.executor":  "goroutines are no threads: work that waits for its siblings may not be scheduled",
}

type probe struct {
	Constants map[string]int64
	Structs   map[string]struct {
		Size   uintptr
		Fields map[string][2]uintptr
	}
}

// TestLayout compares with what a C compiler makes of the header (tests/bindings/probe.c; LIBMM_PROBE names its output).
func TestLayout(t *testing.T) {
	path := os.Getenv("LIBMM_PROBE")
	if path == "" {
		t.Skip("LIBMM_PROBE is not set")
	}
	var p probe
	readJSON(t, path, &p)
	for name, value := range used() {
		constants[name] = value
	}
	for name, value := range p.Constants {
		if mine, ok := constants[name]; !ok || mine != value {
			t.Errorf("%s is %d, here %d (known: %v)", name, value, mine, ok)
		}
	}
	for name := range constants {
		if _, ok := p.Constants[name]; !ok {
			t.Errorf("%s is no constant of the header", name)
		}
	}
	structs := layout()
	for name, s := range p.Structs {
		mine := structs[name]
		if mine == nil {
			t.Errorf("struct %s is unknown here", name)
			continue
		}
		if mine.Size() != s.Size {
			t.Errorf("%s has %d bytes, here %d", name, s.Size, mine.Size())
		}
		for field, at := range s.Fields {
			f, ok := mine.FieldByName(field)
			if !ok || f.Offset != at[0] || f.Type.Size() != at[1] {
				t.Errorf("%s.%s lies at %d with %d bytes, here at %d with %v", name, field, at[0], at[1], f.Offset, f.Type)
			}
		}
	}
	if len(structs) != len(p.Structs) || len(structs) == 0 {
		t.Errorf("%d structs, here %d", len(p.Structs), len(structs))
	}
}

func sources(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("*.[gc]*")
	must(t, err)
	var all strings.Builder
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") || !strings.HasSuffix(f, ".go") && !strings.HasSuffix(f, ".c") {
			continue
		}
		data, err := os.ReadFile(f)
		must(t, err)
		for _, line := range strings.Split(string(data), "\n") {
			if trimmed := strings.TrimSpace(line); !strings.HasPrefix(trimmed, "// ") || strings.Contains(trimmed, "return mm_") {
				all.WriteString(line + "\n")
			}
		}
	}
	return all.String()
}

// TestReach sees to it that every function of the header is called, and every option can be set.
func TestReach(t *testing.T) {
	header, err := os.ReadFile("../../include/libmm.h")
	must(t, err)
	experimental, err := os.ReadFile("../../include/libmm_experimental.h")
	must(t, err)
	header = append(header, experimental...)
	code := sources(t)
	functions := regexp.MustCompile(`(?m)^MM_API [^;(]*?(mm_\w+)\(`).FindAllStringSubmatch(string(header), -1)
	if len(functions) < 40 {
		t.Errorf("only %d functions in the header", len(functions))
	}
	for _, f := range functions {
		called, _ := regexp.MatchString(`\b`+f[1]+`\(`, code)
		if reason := leftOut[f[1]]; called == (reason != "") {
			t.Errorf("%s: called %v, reason to leave it out %q", f[1], called, reason)
		}
	}
	constantNames := regexp.MustCompile(`(?m)^#define (MM_[A-Z0-9_]+) \(?-?\(?\d`).FindAllStringSubmatch(string(header), -1)
	for _, c := range constantNames {
		if _, ok := constants[c[1]]; !ok && used()[c[1]] == 0 && c[1] != "MM_VERSION_MAJOR" && c[1] != "MM_VERSION_PATCH" && c[1] != "MM_FILE_NONE" {
			t.Errorf("%s is unknown here", c[1])
		}
	}
	for _, name := range []string{"mm_engine_options", "mm_model_options", "mm_session_options"} {
		s := layout()[name]
		for i := 0; i < s.NumField(); i++ {
			field := s.Field(i).Name
			if field == "size" || field == "reserved" || strings.HasPrefix(field, "_") || strings.HasPrefix(field, "pad_cgo") {
				continue
			}
			set, _ := regexp.MatchString(`\bo\.`+field+`\b`, code)
			if reason := leftOut[name+"."+field]; set == (reason != "") {
				t.Errorf("%s.%s: set %v, reason to leave it out %q", name, field, set, reason)
			}
		}
	}
}
