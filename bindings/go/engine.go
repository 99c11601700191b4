package libmm

// #include "shim.h"
import "C"

import (
	"context"
	"io/fs"
	"math"
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// Version of the library that runs, laid out as major<<16 | minor<<8 | patch.
func Version() uint32 { return uint32(C.mm_version()) }

// text asks for a text twice at most: once with a buffer that usually suffices.
func text(call func(buf *C.char, n C.size_t, need *C.size_t, e *C.mm_error) C.mm_status) (string, error) {
	buf := make([]byte, 256)
	for {
		var need C.size_t
		e := newError()
		st := call((*C.char)(unsafe.Pointer(&buf[0])), C.size_t(len(buf)), &need, e)
		if st == C.MM_OK && uint64(need) < uint64(len(buf)) {
			return string(buf[:need]), nil
		}
		if st != C.MM_OK && st != C.MM_E_SPACE {
			if st == C.MM_END {
				return "", errEnd
			}
			return "", failure(st, e)
		}
		buf = make([]byte, uint64(need)+1)
	}
}

// errEnd is MM_END where that is the caller's fault.
var errEnd error = &Error{Status: StatusEnd, Name: "MM_END", Text: "past the end of the list"}

// BuildInfo tells how the library was built, by key: "version", "compiler", "kernels", "libraries", "formats", "dtypes",
// "assemblies", "parts", "keys".
func BuildInfo(key string) (string, error) {
	k, bad := cString("key", key)
	if bad != nil {
		return "", bad
	}
	defer freeString(k)
	return text(func(buf *C.char, n C.size_t, need *C.size_t, e *C.mm_error) C.mm_status {
		return C.mm_build_info(k, buf, n, need, e)
	})
}

// DeviceInfo is a fact about a device, from 0, by key: "id", "name", "kind", "features", "threads", "summary". Past the last
// device the error's status is StatusEnd.
func DeviceInfo(index int, key string) (string, error) {
	if index < 0 || int64(index) > math.MaxUint32 {
		return "", fail(StatusArg, "DeviceInfo: index %d is out of range", index)
	}
	k, bad := cString("key", key)
	if bad != nil {
		return "", bad
	}
	defer freeString(k)
	return text(func(buf *C.char, n C.size_t, need *C.size_t, e *C.mm_error) C.mm_status {
		return C.mm_device_info(C.uint32_t(index), k, buf, n, need, e)
	})
}

// Devices lists the ids that WithDevice takes.
func Devices() []string {
	var ids []string
	for {
		id, err := DeviceInfo(len(ids), "id")
		if err != nil {
			return ids
		}
		ids = append(ids, id)
	}
}

// Engine holds memory, threads and the device of the models loaded with it.
type Engine struct {
	h handle
	p *C.mm_engine
}

// OpenOption changes how Open works: an EngineOption or a LoadOption.
type OpenOption interface{ apply(*openConfig) error }

// EngineOption changes an engine.
type EngineOption func(*openConfig) error

// LoadOption changes how a model is loaded.
type LoadOption func(*openConfig) error

func (o EngineOption) apply(c *openConfig) error { return o(c) }
func (o LoadOption) apply(c *openConfig) error   { return o(c) }

type openConfig struct {
	device      string
	threads     C.uint32_t
	precision   C.int32_t
	logLevel    C.int32_t
	memoryLimit C.uint64_t
	log         func(level LogLevel, area, line string)
	files       fs.FS
	progress    func(stage string, done, total uint64) error
	ctx         context.Context
	bytes       []byte
}

// Precision of activations and arithmetic.
type Precision int32

const (
	PrecisionFast  Precision = 0 // quantised or BF16 activations
	PrecisionExact Precision = 1 // F32 activations and arithmetic
)

// LogLevel is how serious a line of the log is; higher is more verbose.
type LogLevel int32

const (
	LogError LogLevel = 1
	LogWarn  LogLevel = 2
	LogInfo  LogLevel = 3
	LogDebug LogLevel = 4
)

// WithThreads sets the number of threads, 1 to 1024; 0 is one for each physical core.
func WithThreads(n int) EngineOption {
	return func(c *openConfig) error { return setU32(&c.threads, "WithThreads", n) }
}

// WithDevice chooses where to compute: "auto", "cpu", "cpu:avx2" (at most these instructions), an id of Devices.
func WithDevice(device string) EngineOption {
	return func(c *openConfig) error { c.device = device; return nil }
}

// WithPrecision chooses between speed and exactness.
func WithPrecision(p Precision) EngineOption {
	return func(c *openConfig) error { c.precision = C.int32_t(p); return nil }
}

// WithMemoryLimit sets how many bytes the engine may hold; ErrNoMem beyond. 0 is no limit.
func WithMemoryLimit(bytes uint64) EngineOption {
	return func(c *openConfig) error { c.memoryLimit = C.uint64_t(bytes); return nil }
}

// WithLog delivers the log up to a level. The function may be called from several threads at once; a panic in it is lost.
func WithLog(level LogLevel, log func(level LogLevel, area, line string)) EngineOption {
	return func(c *openConfig) error {
		c.logLevel, c.log = C.int32_t(level), log
		return nil
	}
}

// WithFS makes fsys take the place of the operating system's files, for models, media and snapshots that are opened by
// path. It may be used by several threads at once. Files that are no io.ReaderAt are read through io.Seeker, under a lock,
// or else as a whole.
func WithFS(fsys fs.FS) EngineOption {
	return func(c *openConfig) error { c.files = fsys; return nil }
}

// WithProgress reports how far loading is; total may be 0 (unknown). An error stops it: Open returns an error that is
// ErrCancelled and what the function returned.
func WithProgress(progress func(stage string, done, total uint64) error) LoadOption {
	return func(c *openConfig) error { c.progress = progress; return nil }
}

// WithLoadContext gives the loading up when ctx is done.
func WithLoadContext(ctx context.Context) LoadOption {
	return func(c *openConfig) error { c.ctx = ctx; return nil }
}

// WithBytes is the content of a single-file model (GGUF, whisper.cpp); the path then only names it in messages. The bytes
// are not needed after loading.
func WithBytes(content []byte) LoadOption {
	return func(c *openConfig) error {
		if len(content) == 0 {
			return fail(StatusArg, "WithBytes: there are no bytes")
		}
		c.bytes = content
		return nil
	}
}

func setU32(to *C.uint32_t, what string, n int) error {
	if n < 0 || int64(n) > math.MaxUint32 {
		return fail(StatusArg, "%s: %d is out of range", what, n)
	}
	*to = C.uint32_t(n)
	return nil
}

// NewEngine makes an engine. One that is shared by models shares its threads and memory limit among them.
func NewEngine(opts ...EngineOption) (*Engine, error) {
	var c openConfig
	for _, o := range opts {
		if err := o(&c); err != nil {
			return nil, err
		}
	}
	return newEngine(&c)
}

func newEngine(c *openConfig) (*Engine, error) {
	var device *C.char
	if c.device != "" {
		var err error
		if device, err = cString("device", c.device); err != nil {
			return nil, err
		}
		defer freeString(device)
	}
	var log, files cgo.Handle
	if c.log != nil {
		log = cgo.NewHandle(c.log)
	}
	if c.files != nil {
		files = cgo.NewHandle(&hostFiles{fsys: c.files})
	}
	forget := func() {
		for _, h := range []cgo.Handle{log, files} {
			if h != 0 {
				h.Delete()
			}
		}
	}
	e := newError()
	var p *C.mm_engine
	st := C.libmm_go_engine_create(device, c.threads, c.precision, c.logLevel, c.memoryLimit, C.uintptr_t(log),
		C.uintptr_t(files), &p, e)
	if err := failure(st, e); err != nil {
		forget()
		return nil, err
	}
	engine := &Engine{p: p}
	engine.h.init(func() {
		C.mm_engine_release(p)
		forget()
	})
	runtime.SetFinalizer(engine, (*Engine).finalize)
	return engine, nil
}

func (e *Engine) finalize() { e.h.close() }

func (e *Engine) enter() error {
	if e == nil {
		return fail(StatusArg, "Engine: nil")
	}
	return e.h.enter("Engine")
}

// Close gives the engine back. Models loaded with it go on working. It never fails.
func (e *Engine) Close() error {
	if e != nil {
		e.h.close()
		runtime.KeepAlive(e)
	}
	return nil
}

// Info is a fact about the engine, by key: "device", "isa", "threads", "precision", "memory_bytes", "memory_peak",
// "memory_limit", "limits", "counts", "fallbacks", "self_test", "keys".
func (e *Engine) Info(key string) (string, error) {
	if err := e.enter(); err != nil {
		return "", err
	}
	defer e.h.leave()
	k, bad := cString("key", key)
	if bad != nil {
		return "", bad
	}
	defer freeString(k)
	return text(func(buf *C.char, n C.size_t, need *C.size_t, err *C.mm_error) C.mm_status {
		return C.mm_engine_info(e.p, k, buf, n, need, err)
	})
}

// Set changes a limit of the engine, a whole number as text: "session_memory", "image_pixels", "template_steps" and the others
// that Info lists as "limits", one a line: key, value, default, most, what it counts. What exceeds one is ErrLimit. Or
// "media_cache_bytes", what each model may hold to know pictures and sounds again.
func (e *Engine) Set(key, value string) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.h.leave()
	return withSetting(key, value, func(k, v *C.char) error {
		why := newError()
		return failure(C.mm_engine_set(e.p, k, v, why), why)
	})
}
