package libmm

// #include "shim.h"
// static mm_status tokenize(const mm_model *m, _GoString_ s, uint32_t flags, int32_t *ids, size_t cap, size_t *need, mm_error *e)
// {
//     return mm_model_tokenize(m, _GoStringPtr(s), _GoStringLen(s), flags, ids, cap, need, e);
// }
import "C"

import (
	"encoding/json"
	"runtime"
	"runtime/cgo"
	"strconv"
	"unsafe"
)

// Model is weights and all that is derived from them. It never changes and serves any number of goroutines.
type Model struct {
	h      handle
	p      *C.mm_model
	engine *Engine
	own    bool // the engine was made by Open
}

// Open loads a model with an engine of its own, which Close closes too. The path is a GGUF file (an mmproj file beside it
// is found by name), a Hugging Face directory, a whisper.cpp .bin file, a faster-whisper directory or a *.mm.json manifest.
func Open(path string, opts ...OpenOption) (*Model, error) {
	var c openConfig
	for _, o := range opts {
		if err := o.apply(&c); err != nil {
			return nil, err
		}
	}
	engine, err := newEngine(&c)
	if err != nil {
		return nil, err
	}
	m, err := engine.load(path, &c)
	if err != nil {
		engine.Close()
		return nil, err
	}
	m.own = true
	return m, nil
}

// Open loads a model with this engine.
func (e *Engine) Open(path string, opts ...LoadOption) (*Model, error) {
	var c openConfig
	for _, o := range opts {
		if err := o(&c); err != nil {
			return nil, err
		}
	}
	return e.load(path, &c)
}

func (e *Engine) load(path string, c *openConfig) (*Model, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.h.leave()
	name, bad := cString("path", path)
	if bad != nil {
		return nil, bad
	}
	defer freeString(name)
	call := progressCall{report: c.report}
	var progress cgo.Handle
	if c.progress != nil || c.ctx != nil {
		progress = cgo.NewHandle(&call)
		defer progress.Delete()
	}
	var bytes unsafe.Pointer
	if len(c.bytes) > 0 {
		bytes = unsafe.Pointer(&c.bytes[0])
	}
	err := newError()
	var p *C.mm_model
	st := C.libmm_go_model_load(e.p, name, bytes, C.size_t(len(c.bytes)), C.uintptr_t(progress), &p, err)
	if failed := call.settle(failure(st, err)); failed != nil {
		return nil, failed
	}
	e.h.keep()
	m := &Model{p: p, engine: e}
	m.h.init(func() {
		C.mm_model_release(p)
		e.h.leave()
	})
	runtime.SetFinalizer(m, (*Model).finalize)
	return m, nil
}

func (c *openConfig) report(stage string, done, total uint64) error {
	if c.ctx != nil && c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	if c.progress == nil {
		return nil
	}
	return c.progress(stage, done, total)
}

func (m *Model) finalize() {
	if m.h.close() && m.own {
		m.engine.Close()
	}
}

func (m *Model) enter() error {
	if m == nil {
		return fail(StatusArg, "Model: nil")
	}
	return m.h.enter("Model")
}

// Close gives the model back. Sessions on it go on working. It never fails.
func (m *Model) Close() error {
	if m != nil {
		m.finalize()
		runtime.KeepAlive(m)
	}
	return nil
}

// Engine is the engine the model was loaded with.
func (m *Model) Engine() *Engine { return m.engine }

// Info is a fact about the model, by key: "name", "tasks", "context" ... ("keys" lists them).
func (m *Model) Info(key string) (string, error) {
	if err := m.enter(); err != nil {
		return "", err
	}
	defer m.h.leave()
	k, bad := cString("key", key)
	if bad != nil {
		return "", bad
	}
	defer freeString(k)
	return text(func(buf *C.char, n C.size_t, need *C.size_t, e *C.mm_error) C.mm_status {
		return C.mm_model_info(m.p, k, buf, n, need, e)
	})
}

// MemoryPlan says how many bytes a session takes.
type MemoryPlan struct {
	Weights      uint64 `json:"weights"`
	Tables       uint64 `json:"tables"` // tokenizer, names and what else the model holds
	KV           uint64 `json:"kv"`
	Cross        uint64 `json:"cross"`         // keys and values of an encoder's output
	EncoderArena uint64 `json:"encoder_arena"` // work memory
	DecoderArena uint64 `json:"decoder_arena"`
	Total        uint64 `json:"total"`
}

// Summary is the whole of a model's facts.
type Summary struct {
	Name               string `json:"name"`
	Assembly           string `json:"assembly"`
	Format             string `json:"format"`
	ModalitiesIn       string `json:"modalities_in"`  // separated by spaces: "text image"
	ModalitiesOut      string `json:"modalities_out"` // likewise
	Tasks              string `json:"tasks"`          // likewise
	Parts              string `json:"parts"`          // likewise: "vision:clip_vision decoder:llama"
	Context            int    `json:"context"`        // positions
	Vocab              int    `json:"vocab"`
	Parameters         uint64 `json:"parameters"`
	WeightsBytes       uint64 `json:"weights_bytes"`
	KVBytesPerToken    uint64 `json:"kv_bytes_per_token"`
	DTypes             string `json:"dtypes"`
	PromptLayout       string `json:"prompt_layout"`
	Placeholder        string `json:"placeholder"`
	SampleRate         int    `json:"sample_rate"` // Hz, 0 without sound
	ChatTemplateSHA256 string `json:"chat_template_sha256"`
}

// Summary gives the model's facts at once.
func (m *Model) Summary() (Summary, error) {
	var s Summary
	return s, m.infoJSON("summary", &s)
}

// Plan is the memory that a session of so many positions takes.
func (m *Model) Plan(positions int) (MemoryPlan, error) {
	var p MemoryPlan
	return p, m.infoJSON("plan:"+strconv.Itoa(positions), &p)
}

func (m *Model) infoJSON(key string, to any) error {
	doc, err := m.Info(key)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(doc), to); err != nil {
		return because(fail(StatusInternal, "Model.Info(%q): %v", key, err), err)
	}
	return nil
}

// TokenizeFlags change Tokenize and Detokenize.
type TokenizeFlags uint32

const (
	TokenizeAround  TokenizeFlags = 1 // add what the tokenizer puts around a text of its own: begin and end tokens
	TokenizeSpecial TokenizeFlags = 2 // recognise special tokens; never for untrusted text
)

// Tokenize gives the token ids of a text.
func (m *Model) Tokenize(s string, flags TokenizeFlags) ([]int32, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.h.leave()
	ids := make([]int32, len(s)/2+16)
	for {
		var need C.size_t
		e := newError()
		st := C.tokenize(m.p, s, C.uint32_t(flags), (*C.int32_t)(&ids[0]), C.size_t(len(ids)), &need, e)
		if st == C.MM_OK {
			return ids[:need], nil
		}
		if st != C.MM_E_SPACE {
			return nil, failure(st, e)
		}
		ids = make([]int32, need)
	}
}

// Detokenize gives the text of ids; special tokens appear only with TokenizeSpecial.
func (m *Model) Detokenize(ids []int32, flags TokenizeFlags) (string, error) {
	if err := m.enter(); err != nil {
		return "", err
	}
	defer m.h.leave()
	p := int32Ptr(ids)
	return text(func(buf *C.char, n C.size_t, need *C.size_t, e *C.mm_error) C.mm_status {
		return C.mm_model_detokenize(m.p, p, C.size_t(len(ids)), C.uint32_t(flags), buf, n, need, e)
	})
}

// ApplyTemplate renders a chat with the model's own template. doc is an array of messages in the OpenAI layout, or an
// object with "messages" and, if wanted, "tools" and further variables of the template. open begins the assistant's turn
// at the end.
func (m *Model) ApplyTemplate(doc []byte, open bool) (string, error) {
	if err := m.enter(); err != nil {
		return "", err
	}
	defer m.h.leave()
	var add C.int32_t
	if open {
		add = 1
	}
	p := (*C.char)(bytesPtr(doc))
	return text(func(buf *C.char, n C.size_t, need *C.size_t, e *C.mm_error) C.mm_status {
		return C.mm_model_apply_template(m.p, p, C.size_t(len(doc)), add, buf, n, need, e)
	})
}

var empty [1]byte

// bytesPtr is where the bytes begin; never nil, for the library takes nil as a mistake.
func bytesPtr(b []byte) unsafe.Pointer {
	if len(b) == 0 {
		return unsafe.Pointer(&empty[0])
	}
	return unsafe.Pointer(&b[0])
}

func int32Ptr(ids []int32) *C.int32_t {
	if len(ids) == 0 {
		return (*C.int32_t)(new(int32))
	}
	return (*C.int32_t)(&ids[0])
}
