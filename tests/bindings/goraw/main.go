// Goraw calls the C functions of libmm from Go, without the package's care for them, and prints an ok or FAIL line for each
// kind of wrong call: what bindings/go keeps from the library, the library must refuse by itself. Runs at the root of the
// repository.
package main

/*
#cgo pkg-config: libmm
#include <libmm.h>
#include <stdlib.h>
#include <string.h>

typedef struct host { mm_model *model; mm_session *session; mm_status inside[2]; } host;

// What every callback here does: calls back, and asks to stop.
static int32_t stop(host *h)
{
	h->inside[0] = mm_session_reset(h->session, NULL);
	h->inside[1] = mm_model_info(h->model, "name", NULL, 0, NULL, NULL);
	mm_session_cancel(h->session);
	return 7;
}
static int32_t progress(void *user, const char *stage, uint64_t done, uint64_t total) { return stop(user); }
static int32_t write_bytes(void *user, const void *bytes, size_t n) { return stop(user); }

static mm_status load_with(mm_engine *e, const char *path, host *h, mm_model **out, mm_error *err)
{
	mm_model_options o;
	mm_model_options_init(&o, sizeof o);
	o.progress = progress;
	o.progress_user = h;
	return mm_model_load(e, path, &o, out, err);
}
static mm_status save_with(mm_session *s, host *h, mm_error *err) { return mm_session_save(s, write_bytes, h, err); }
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

const tail = 64

var (
	bad   bool
	fails int
	err   = (*C.mm_error)(C.calloc(1, C.sizeof_mm_error))
	llama = C.CString("tests/golden/llama")
	bert  = C.CString("tests/golden/bert")
	text  = C.CString("The license is 30 years old.")
	stopK = C.CString("stop")
)

// expect notes a status that is not the wanted one, and a refusal without a word in err.
func expect(what string, want, got C.mm_status) {
	if got != want || (want < 0 && err.text[0] == 0) {
		fmt.Printf("%s: %s, not %s (%s)\n", what, C.GoString(C.mm_status_name(got)), C.GoString(C.mm_status_name(want)), C.GoString(&err.text[0]))
		fails++
	}
}

func report(name string) {
	if fails == 0 {
		fmt.Println("ok go: raw,", name)
	} else {
		fmt.Println("FAIL go: raw,", name)
		bad = true
	}
	fails = 0
}

func must(st C.mm_status) {
	if st != C.MM_OK {
		fmt.Println("FAIL go: raw:", C.GoString(&err.text[0]))
		os.Exit(1)
	}
}

func engine() (e *C.mm_engine) { must(C.mm_engine_create(nil, &e, err)); return }

func load(e *C.mm_engine, path *C.char) (m *C.mm_model) {
	must(C.mm_model_load(e, path, nil, &m, err))
	return
}

func session(m *C.mm_model) (s *C.mm_session) { must(C.mm_session_create(m, nil, &s, err)); return }

func input(e *C.mm_engine, times int) (in *C.mm_input) {
	must(C.mm_input_create(e, &in, err))
	for i := 0; i < times; i++ {
		must(C.mm_input_text(in, text, C.strlen(text), err))
	}
	return
}

func null(e *C.mm_engine, m *C.mm_model, s *C.mm_session, in *C.mm_input) {
	for name, st := range map[string]C.mm_status{
		"engine_create":  C.mm_engine_create(nil, nil, err),
		"engine_info":    C.mm_engine_info(nil, stopK, nil, 0, nil, err),
		"model_load":     C.mm_model_load(nil, llama, nil, &m, err),
		"input_create":   C.mm_input_create(nil, &in, err),
		"input_text":     C.mm_input_text(nil, text, 1, err),
		"input_clear":    C.mm_input_clear(nil, err),
		"session_create": C.mm_session_create(nil, nil, &s, err),
		"session_feed":   C.mm_session_feed(nil, nil, err),
		"session_next":   C.mm_session_next(nil, nil, err),
		"session_reset":  C.mm_session_reset(nil, err),
		"session_save":   C.mm_session_save(nil, nil, nil, err),
		"session_set":    C.mm_session_set(nil, stopK, text, err),
	} {
		expect(name, C.MM_E_ARG, st)
	}
	C.mm_session_cancel(nil)
	C.mm_session_release(nil)
	C.mm_input_release(nil)
	C.mm_model_release(nil)
	C.mm_engine_release(nil)
	report("NULL")
}

// sizes hands over a struct at sizes that no release had.
func sizes(name string, good unsafe.Pointer, known int, take func(s unsafe.Pointer) C.mm_status) {
	room := unsafe.Slice((*byte)(C.malloc(C.size_t(known+tail))), known+tail)
	defer C.free(unsafe.Pointer(&room[0]))
	for _, size := range []int{0, 1, 4, known - 1, known, known + 8, known + tail} {
		for last := 0; last < 2 && (last == 0 || size > known); last++ {
			copy(room[copy(room, unsafe.Slice((*byte)(good), known)):], make([]byte, tail))
			*(*uint32)(unsafe.Pointer(&room[0])) = uint32(size)
			want := C.mm_status(C.MM_OK)
			if size < known {
				want = C.MM_E_ARG
			} else if last == 1 {
				room[size-1] = 1
				want = C.MM_E_UNSUPPORTED
			}
			expect(fmt.Sprintf("%s of %d bytes, the last %d", name, size, last), want, take(unsafe.Pointer(&room[0])))
		}
	}
}

func wrongSizes(e *C.mm_engine, m *C.mm_model, in *C.mm_input) {
	// In memory of C: Go's must hold no pointers that C may follow.
	structs := C.calloc(1, 4096)
	defer C.free(structs)
	eo, mo, so := (*C.mm_engine_options)(structs), (*C.mm_model_options)(unsafe.Add(structs, 512)), (*C.mm_session_options)(unsafe.Add(structs, 1024))
	image, audio := (*C.mm_image)(unsafe.Add(structs, 1536)), (*C.mm_audio)(unsafe.Add(structs, 2048))
	samples := unsafe.Add(structs, 2560)
	C.mm_engine_options_init(eo, C.sizeof_mm_engine_options)
	C.mm_model_options_init(mo, C.sizeof_mm_model_options)
	C.mm_session_options_init(so, C.sizeof_mm_session_options)
	image.width, image.height, image.format, image.pixels = 2, 2, C.MM_PIXELS_GREY, samples
	audio.rate, audio.channels, audio.frames, audio.samples = 16000, 1, 16, samples
	sizes("mm_engine_options", unsafe.Pointer(eo), C.sizeof_mm_engine_options, func(s unsafe.Pointer) C.mm_status {
		var made *C.mm_engine
		defer func() { C.mm_engine_release(made) }()
		return C.mm_engine_create((*C.mm_engine_options)(s), &made, err)
	})
	sizes("mm_model_options", unsafe.Pointer(mo), C.sizeof_mm_model_options, func(s unsafe.Pointer) C.mm_status {
		var made *C.mm_model
		defer func() { C.mm_model_release(made) }()
		return C.mm_model_load(e, llama, (*C.mm_model_options)(s), &made, err)
	})
	sizes("mm_session_options", unsafe.Pointer(so), C.sizeof_mm_session_options, func(s unsafe.Pointer) C.mm_status {
		var made *C.mm_session
		defer func() { C.mm_session_release(made) }()
		return C.mm_session_create(m, (*C.mm_session_options)(s), &made, err)
	})
	sizes("mm_image", unsafe.Pointer(image), C.sizeof_mm_image, func(s unsafe.Pointer) C.mm_status {
		return C.mm_input_image(in, (*C.mm_image)(s), err)
	})
	sizes("mm_audio", unsafe.Pointer(audio), C.sizeof_mm_audio, func(s unsafe.Pointer) C.mm_status {
		return C.mm_input_audio(in, (*C.mm_audio)(s), err)
	})
	report("structs of wrong sizes")
}

func wrongSizesOfOutput(e *C.mm_engine, s *C.mm_session) {
	event := C.mm_event{index: 77}
	for _, event.size = range []C.uint32_t{0, 4, C.sizeof_mm_event - 1} {
		expect("mm_event", C.MM_E_ARG, C.mm_session_next(s, &event, err))
	}
	small := C.mm_error{code: 77}
	for _, small.size = range []C.uint32_t{0, 4, C.sizeof_mm_error - 1} {
		C.mm_session_next(s, nil, &small)
	}
	if event.index != 77 || small.code != 77 {
		fmt.Println("they are written:", event.index, small.code)
		fails++
	}
	report("events and errors of wrong sizes")
}

func wrongOrder(e *C.mm_engine, s *C.mm_session) {
	in := input(e, 1)
	defer C.mm_input_release(in)
	event := C.mm_event{size: C.sizeof_mm_event}
	expect("next before feed", C.MM_END, C.mm_session_next(s, &event, err))
	must(C.mm_session_feed(s, in, err))
	must(C.mm_session_next(s, &event, err))
	expect("feed during an answer", C.MM_E_STATE, C.mm_session_feed(s, in, err))
	expect("set during an answer", C.MM_E_STATE, C.mm_session_set(s, stopK, text, err))
	report("calls in the wrong order")
}

// twoThreads asks for a session that another goroutine's call, on a thread of its own, holds.
func twoThreads(e *C.mm_engine) {
	m := load(e, bert)
	defer C.mm_model_release(m)
	s, long, short := session(m), input(e, 20000), input(e, 1)
	defer C.mm_input_release(short)
	defer C.mm_input_release(long)
	defer C.mm_session_release(s)
	must(C.mm_session_feed(s, long, err))
	ended := make(chan C.mm_status, 1)
	go func() {
		event, st := C.mm_event{size: C.sizeof_mm_event}, C.mm_status(C.MM_E_STATE)
		for st == C.MM_E_STATE { // the one below was quicker
			st = C.mm_session_next(s, &event, nil)
		}
		ended <- st
	}()
	var value C.double
	key := C.CString("n_past")
	defer C.free(unsafe.Pointer(key))
	for len(ended) == 0 && C.mm_session_stat(s, key, &value, err) != C.MM_E_STATE {
	}
	expect("reset", C.MM_E_STATE, C.mm_session_reset(s, err))
	expect("feed", C.MM_E_STATE, C.mm_session_feed(s, short, err))
	C.mm_session_cancel(s)
	expect("the first one", C.MM_E_CANCELLED, <-ended)
	expect("reset afterwards", C.MM_OK, C.mm_session_reset(s, err))
	report("two threads in one session")
}

func anotherEngine(s *C.mm_session) {
	other := engine()
	in := input(other, 1)
	expect("feed", C.MM_E_ARG, C.mm_session_feed(s, in, err))
	C.mm_input_release(in)
	C.mm_engine_release(other)
	report("a handle of another engine")
}

func callbacks(e *C.mm_engine, m *C.mm_model) {
	h := (*C.host)(C.calloc(1, C.sizeof_host))
	defer C.free(unsafe.Pointer(h))
	h.model, h.session = m, session(m)
	defer C.mm_session_release(h.session)
	var made *C.mm_model
	for name, call := range map[string]func() C.mm_status{
		"progress": func() C.mm_status { return C.load_with(e, llama, h, &made, err) },
		"write":    func() C.mm_status { return C.save_with(h.session, h, err) },
	} {
		h.inside = [2]C.mm_status{}
		expect(name+" returns 7", C.MM_E_CANCELLED, call())
		expect(name+" resets the session", C.MM_E_STATE, h.inside[0])
		expect(name+" asks the model", C.MM_E_STATE, h.inside[1])
		if err.os_code != 7 || made != nil {
			fmt.Println(name, "gave", err.os_code, made)
			fails++
		}
	}
	report("callbacks that stop and call back")
}

func main() {
	err.size = C.sizeof_mm_error
	e := engine()
	m := load(e, llama)
	s, in := session(m), input(e, 1)
	null(e, m, s, in)
	wrongSizes(e, m, in)
	wrongSizesOfOutput(e, s)
	anotherEngine(s)
	wrongOrder(e, s)
	twoThreads(e)
	callbacks(e, m)
	C.mm_input_release(in)
	C.mm_session_release(s)
	C.mm_model_release(m)
	C.mm_engine_release(e)
	for _, p := range []*C.char{llama, bert, text, stopK, (*C.char)(unsafe.Pointer(err))} {
		C.free(unsafe.Pointer(p))
	}
	if bad {
		os.Exit(1)
	}
}
