package libmm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

func TestFacts(t *testing.T) {
	m := open(t, "llava")
	s, err := m.Summary()
	must(t, err)
	if s.Name != "llava" || s.Context != 1024 || s.ModalitiesIn != "text image" {
		t.Errorf("summary: %+v", s)
	}
	name, err := m.Info("name")
	must(t, err)
	if name != "llava" {
		t.Errorf("name %q", name)
	}
	long, err := m.Info("tensors")
	must(t, err)
	if !strings.Contains(long, "\n") || len(long) < 1000 {
		t.Errorf("tensors: %q", long)
	}
	small, err := m.Plan(64)
	must(t, err)
	large, err := m.Plan(1024)
	must(t, err)
	if small.KV >= large.KV {
		t.Errorf("plans: %+v %+v", small, large)
	}
	_, err = m.Info("no such key")
	want(t, err, ErrKey)
	_, err = m.Info("na\x00me")
	want(t, err, ErrArg)
}

func TestBuildAndDevices(t *testing.T) {
	if Version()>>16 != 0 || Version()&0xffff < 0x100 {
		t.Errorf("version %x", Version())
	}
	if ids := Devices(); !contains(strings.Join(ids, " "), "cpu") {
		t.Errorf("devices %q", ids)
	}
	_, err := DeviceInfo(1000, "id")
	if e, ok := err.(*Error); !ok || e.Status != StatusEnd {
		t.Errorf("past the last device: %v", err)
	}
	_, err = DeviceInfo(-1, "id")
	want(t, err, ErrArg)
	_, err = DeviceInfo(0, "no such key")
	want(t, err, ErrKey)
	v, err := BuildInfo("version")
	must(t, err)
	if got := fmt.Sprintf("%d.%d.%d", Version()>>16, Version()>>8&0xff, Version()&0xff); got != v {
		t.Errorf("version %s, but built as %s", got, v)
	}
	_, err = BuildInfo("no such key")
	want(t, err, ErrKey)
}

func TestStatuses(t *testing.T) {
	for _, err := range []error{ErrArg, ErrState, ErrSpace, ErrKey, ErrNoMem, ErrLimit, ErrInternal, ErrIO, ErrFormat,
		ErrUnsupported, ErrMedia, ErrDevice, ErrCancelled, ErrContext, ErrNumeric} {
		if e := err.(*Error); e.Status.String() != e.Name {
			t.Errorf("status %d is %s, not %s", e.Status, e.Status, e.Name)
		}
	}
	if Status(-12345).String() != "MM_?" {
		t.Error("a number that is no status has a name")
	}
	all := Statuses()
	if len(all) < 17 {
		t.Errorf("only %d statuses", len(all))
	}
	for _, s := range all {
		if s.Status.String() != s.Name || s.Meaning == "" {
			t.Errorf("%+v", s)
		}
	}
}

func TestEngine(t *testing.T) {
	e, err := NewEngine(WithThreads(1), WithPrecision(PrecisionExact), WithDevice("cpu"), WithMemoryLimit(1<<30))
	must(t, err)
	defer e.Close()
	a, err := e.Open(fixture("llama"))
	must(t, err)
	defer a.Close()
	b, err := e.Open(fixture("bert"))
	must(t, err)
	defer b.Close()
	if a.Engine() != e || b.Engine() != e {
		t.Error("models forget their engine")
	}
	threads, err := e.Info("threads")
	must(t, err)
	if threads != "1" {
		t.Errorf("%s threads", threads)
	}
}

func TestRefusals(t *testing.T) {
	_, err := Open(fixture("no such folder"))
	want(t, err, ErrIO)
	want(t, err, fs.ErrNotExist)
	var e *Error
	if !errors.As(err, &e) || e.OSCode == 0 || e.Name != "MM_E_IO" || !strings.Contains(e.Text, "no such folder") {
		t.Errorf("%+v", e)
	}
	_, err = Open(fixture("_inputs/photo.jpg"))
	if err == nil || errors.Is(err, ErrInternal) {
		t.Errorf("a picture as a model: %v", err)
	}
	_, err = NewEngine(WithDevice("no such device"))
	want(t, err, ErrDevice)
	_, err = NewEngine(WithThreads(-1))
	want(t, err, ErrArg)
	_, err = NewEngine(WithThreads(1025))
	want(t, err, ErrArg)
	_, err = NewEngine(WithPrecision(7))
	want(t, err, ErrArg)
	_, err = Open(fixture("llama"), WithMemoryLimit(10000))
	want(t, err, ErrNoMem)
	_, err = Open("model.gguf", WithBytes(nil))
	want(t, err, ErrArg)
}

func TestTokens(t *testing.T) {
	m := open(t, "llama")
	long := strings.Repeat("grants you a copy ", 400)
	for _, s := range []string{"", "The licensor", "漢字 🙂", long} {
		ids, err := m.Tokenize(s, 0)
		must(t, err)
		back, err := m.Detokenize(ids, 0)
		must(t, err)
		if back != s {
			t.Errorf("%.40q became %.40q", s, back)
		}
	}
	ids, err := m.Tokenize("a", TokenizeAround)
	must(t, err)
	if len(ids) != 2 || ids[0] != 335 {
		t.Errorf("with BOS: %v", ids)
	}
	shown, err := m.Detokenize(ids, TokenizeSpecial)
	must(t, err)
	if shown != "<|begin_of_text|>a" {
		t.Errorf("shown: %q", shown)
	}
	_, err = open(t, "vit").Tokenize("a", 0)
	want(t, err, ErrUnsupported)
}

func TestTemplate(t *testing.T) {
	m := open(t, "llama")
	doc := []byte(`[{"role":"user","content":"Hi"}]`)
	closed, err := m.ApplyTemplate(doc, false)
	must(t, err)
	opened, err := m.ApplyTemplate(doc, true)
	must(t, err)
	if !strings.HasPrefix(opened, closed) || len(opened) <= len(closed) || !strings.Contains(closed, "Hi") {
		t.Errorf("%q, opened %q", closed, opened)
	}
	_, err = m.ApplyTemplate([]byte(`[{"role":`), false)
	want(t, err, ErrFormat)
	_, err = m.ApplyTemplate(nil, false)
	want(t, err, ErrFormat)
	_, err = open(t, "bert").ApplyTemplate([]byte(`[]`), false)
	want(t, err, ErrUnsupported)
}

// folderOf holds a fixture in memory, so that a test can change it.
func folderOf(t *testing.T, name string) fstest.MapFS {
	t.Helper()
	memory := fstest.MapFS{}
	files, err := filepath.Glob(fixture(name + "/*"))
	must(t, err)
	for _, f := range files {
		data, err := os.ReadFile(f)
		must(t, err)
		memory[name+"/"+filepath.Base(f)] = &fstest.MapFile{Data: data}
	}
	return memory
}

func TestTemplateVariables(t *testing.T) {
	memory := folderOf(t, "llama")
	memory["llama/chat_template.jinja"] = &fstest.MapFile{Data: []byte(`{% for m in messages %}{{ m.content }}{% endfor %}` +
		`{% if tools %}{% for t in tools %} {{ t.function.name }}{% endfor %}{% endif %}{% if quiet %} quietly{% endif %}`)}
	m, err := Open("llama", WithFS(memory), WithThreads(1))
	must(t, err)
	defer m.Close()
	doc := `"messages":[{"role":"user","content":"Hi"}]`
	tools := `[{"type":"function","function":{"name":"look_up","parameters":{"type":"object","properties":{}}}}]`
	for _, c := range []struct{ doc, want string }{
		{`{` + doc + `}`, "Hi"},
		{`{` + doc + `,"tools":` + tools + `}`, "Hi look_up"},
		{`{` + doc + `,"quiet":true}`, "Hi quietly"},
	} {
		got, err := m.ApplyTemplate([]byte(c.doc), true)
		must(t, err)
		if got != c.want {
			t.Errorf("%s becomes %q, not %q", c.doc, got, c.want)
		}
	}
	_, err = m.ApplyTemplate([]byte(`{`+doc+`,"tools":"none"}`), true)
	if err == nil {
		t.Error("tools that are no list are accepted")
	}
	prompt := func(opts ...Option) int {
		t.Helper()
		a, err := m.Generate(background, Parts{Text("Hi")}, append(opts, WithMaxTokens(1))...)
		must(t, err)
		return a.PromptTokens
	}
	plain := prompt()
	if n := prompt(WithTools([]byte(tools))); n <= plain {
		t.Errorf("a prompt of %d positions, with a tool %d", plain, n)
	}
	if n := prompt(WithVariables([]byte(`{"quiet":true}`))); n <= plain {
		t.Errorf("a prompt of %d positions, with a variable %d", plain, n)
	}
	if _, err = m.NewSession(WithTools([]byte(`{`))); err == nil {
		t.Error("tools that are no JSON are accepted")
	}
}

func TestProgress(t *testing.T) {
	calls := 0
	open(t, "llama", WithProgress(func(stage string, done, total uint64) error {
		calls++
		if stage == "" || total != 0 && done > total {
			t.Errorf("%q %d of %d", stage, done, total)
		}
		return nil
	}))
	if calls == 0 {
		t.Error("no progress was reported")
	}
	enough := errors.New("enough")
	_, err := Open(fixture("llama"), WithProgress(func(string, uint64, uint64) error { return enough }))
	want(t, err, ErrCancelled)
	want(t, err, enough)

	ctx, cancel := context.WithCancel(background)
	open(t, "llama", WithLoadContext(ctx))
	cancel()
	_, err = Open(fixture("llama"), WithLoadContext(ctx))
	want(t, err, ErrCancelled)
	want(t, err, context.Canceled)

	defer func() {
		if p := recover(); p != "oh" {
			t.Errorf("the panic of a callback became %v", p)
		}
	}()
	Open(fixture("llama"), WithProgress(func(string, uint64, uint64) error { panic("oh") }))
}

func TestLog(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	m := open(t, "llama", WithLog(LogDebug, func(level LogLevel, area, line string) {
		mu.Lock()
		defer mu.Unlock()
		if level < LogError || level > LogDebug || area == "" || strings.Contains(line, "\n") {
			t.Errorf("%d %q %q", level, area, line)
		}
		lines = append(lines, line)
		panic("a panic in the log is lost")
	}))
	_, err := m.Generate(background, Parts{Text("Hi")}, WithMaxTokens(2))
	must(t, err)
	mu.Lock()
	defer mu.Unlock()
	if len(lines) == 0 {
		t.Error("the library had nothing to say")
	}
}

func TestModelFromBytes(t *testing.T) {
	content, err := os.ReadFile(fixture("llama/model-f32.gguf"))
	must(t, err)
	m, err := Open("from memory", WithBytes(content), WithThreads(1))
	must(t, err)
	defer m.Close()
	if name, _ := m.Info("format"); name != "gguf" {
		t.Errorf("format %q", name)
	}
	_, err = Open("from memory", WithBytes(content[:len(content)/2]))
	want(t, err, ErrFormat)
}

// unseekable and plain are files that offer less than os.File does.
type lean struct {
	fs.FS
	seek bool
}

type leanFile struct{ fs.File }

type seekFile struct{ fs.File }

func (f seekFile) Seek(offset int64, whence int) (int64, error) {
	return f.File.(interface {
		Seek(int64, int) (int64, error)
	}).Seek(offset, whence)
}

func (l lean) Open(name string) (fs.File, error) {
	f, err := l.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return f, err
	}
	if l.seek {
		return seekFile{f}, nil
	}
	return leanFile{f}, nil
}

func TestFS(t *testing.T) {
	zoo := os.DirFS(golden)
	memory := folderOf(t, "llava")
	var used bool
	probe := fstest.MapFS{}
	_, err := Open("x.gguf", WithFS(watchFS{probe, &used}))
	want(t, err, ErrIO)
	want(t, err, fs.ErrNotExist)
	if !used {
		t.Error("the file system was not asked")
	}
	for name, c := range map[string]struct {
		fsys fs.FS
		path string
	}{
		"directory": {zoo, "llava"}, "memory": {memory, "llava"}, "seek": {lean{zoo, true}, "llava"},
		"plain": {lean{zoo, false}, "llava"}, "gguf": {zoo, "llava/model-f16.gguf"}, "memory gguf": {memory, "llava/model-f16.gguf"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Open(c.path, WithFS(c.fsys), WithThreads(1))
			must(t, err)
			defer m.Close()
			in, err := m.Info("modalities_in")
			must(t, err)
			if in != "text image" {
				t.Errorf("it takes %q", in)
			}
		})
	}
	t.Run("a manifest beside", func(t *testing.T) {
		manifest := func(vision string) error {
			memory["lists/a.mm.json"] = &fstest.MapFile{Data: []byte(`{"libmm":1,"name":"beside","assembly":"llava","parts":{` +
				`"text":{"path":"../llava/model-f16.gguf"},"vision":{"path":"../llava/` + vision + `"}}}`)}
			_, err := Open("lists/a.mm.json", WithFS(memory), WithThreads(1))
			return err
		}
		if err := manifest("mmproj-f16.gguf"); errors.Is(err, ErrIO) { // found, whatever else is wrong with it
			t.Error(err)
		}
		want(t, manifest("none.gguf"), ErrIO)
	})
	t.Run("trouble", func(t *testing.T) {
		_, err := Open("llava", WithFS(brokenFS{zoo}))
		want(t, err, ErrIO)
	})
}

type watchFS struct {
	fs.FS
	used *bool
}

func (w watchFS) Open(name string) (fs.File, error) {
	*w.used = true
	return w.FS.Open(name)
}

// brokenFS panics at every weights file.
type brokenFS struct{ fs.FS }

func (b brokenFS) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, ".safetensors") {
		panic("no weights today")
	}
	return b.FS.Open(name)
}

func TestLimits(t *testing.T) {
	e, err := NewEngine(WithThreads(1))
	must(t, err)
	defer e.Close()
	must(t, e.Set("tensors", "5"))
	all, err := e.Info("limits")
	must(t, err)
	if !strings.Contains(all, "tensors\t5\t1048576\t4194304\ttensors of a model\n") {
		t.Errorf("limits: %s", all)
	}
	_, err = e.Open(fixture("llama"))
	want(t, err, ErrLimit)
	must(t, e.Set("tensors", "1048576"))
	m, err := e.Open(fixture("llama"))
	must(t, err)
	m.Close()
	want(t, e.Set("tensors", "0"), ErrArg)
	want(t, e.Set("colour", "1"), ErrKey)
	want(t, e.Set("ten\x00sors", "1"), ErrArg)
}
