package libmm

// #include "shim.h"
// static mm_status add_text(mm_input *in, _GoString_ s, mm_error *e)
// {
//     return mm_input_text(in, _GoStringPtr(s), _GoStringLen(s), e);
// }
import "C"

import (
	"image"
	"math"
	"runtime"
	"unsafe"
)

// Part is a piece of an input: text, a picture, sound, a role. It is read when it is fed.
type Part func(in *Input) error

// Parts is a list of them, in order.
type Parts = []Part

// Text may hold "<image>" and "<audio>": each takes the next medium of that kind of the same message at that place; media
// without a place come first.
func Text(s string) Part { return func(in *Input) error { return in.Text(s) } }

// Image is a picture in memory. *image.RGBA without transparency, *image.NRGBA and *image.Gray are handed over as they
// lie, sub-images included; others are converted.
func Image(img image.Image) Part { return func(in *Input) error { return in.Image(img) } }

// Pix is a picture in memory in one of the library's own layouts.
func Pix(p Pixels) Part { return func(in *Input) error { return in.Pixels(p) } }

// ImageFile is a PNG, JPEG or BMP file.
func ImageFile(path string) Part { return func(in *Input) error { return in.ImageFile(path) } }

// ImageBytes is the content of such a file.
func ImageBytes(b []byte) Part { return func(in *Input) error { return in.ImageBytes(b) } }

// Audio is sound in memory: interleaved samples in -1..1, 1000 to 768000 Hz, 1 to 8 channels.
func Audio(samples []float32, rate, channels int) Part {
	return func(in *Input) error { return in.Audio(samples, rate, channels) }
}

// AudioI16 is the same with 16-bit samples.
func AudioI16(samples []int16, rate, channels int) Part {
	return func(in *Input) error { return in.AudioI16(samples, rate, channels) }
}

// AudioFile is a WAV, FLAC, OGG or MP3 file.
func AudioFile(path string) Part { return func(in *Input) error { return in.AudioFile(path) } }

// AudioBytes is the content of such a file.
func AudioBytes(b []byte) Part { return func(in *Input) error { return in.AudioBytes(b) } }

// Role starts a new message of a role ("system", "user", "assistant", "tool" ...); the parts behind it belong to it.
func Role(role string) Part { return func(in *Input) error { return in.Role(role) } }

// Message is a role and its parts as one.
func Message(role string, parts ...Part) Part {
	return func(in *Input) error { return in.Add(append(Parts{Role(role)}, parts...)...) }
}

// Messages is a conversation as JSON in the OpenAI layout. Media are data: URLs or local files, resolved against baseDir
// ("": the working directory).
func Messages(doc []byte, baseDir string) Part {
	return func(in *Input) error { return in.Messages(doc, baseDir) }
}

// Tokens are token ids as they are; only raw sessions take them.
func Tokens(ids []int32) Part { return func(in *Input) error { return in.Tokens(ids) } }

// Input is an ordered list of text, pictures, sound and chat messages that can be fed any number of times. Data are copied,
// media decoded and checked at once; a call that fails leaves it as it was.
type Input struct {
	h      handle
	p      *C.mm_input
	engine *Engine
}

// NewInput makes an input from parts for sessions of this engine's models.
func (e *Engine) NewInput(parts ...Part) (*Input, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.h.leave()
	return newInput(e, parts)
}

// newInput needs a caller who holds the engine.
func newInput(e *Engine, parts []Part) (*Input, error) {
	err := newError()
	var p *C.mm_input
	if st := C.mm_input_create(e.p, &p, err); st < 0 {
		return nil, failure(st, err)
	}
	e.h.keep()
	in := &Input{p: p, engine: e}
	in.h.init(func() {
		C.mm_input_release(p)
		e.h.leave()
	})
	runtime.SetFinalizer(in, (*Input).finalize)
	if err := in.Add(parts...); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

func (in *Input) finalize() { in.h.close() }

// Close gives the input back. It never fails.
func (in *Input) Close() error {
	if in != nil {
		in.h.close()
		runtime.KeepAlive(in)
	}
	return nil
}

func (in *Input) seize() error {
	if in == nil {
		return fail(StatusArg, "Input: nil")
	}
	return in.h.seize("Input")
}

// call runs one function of the library on the input.
func (in *Input) call(f func(e *C.mm_error) C.mm_status) error {
	if err := in.seize(); err != nil {
		return err
	}
	defer in.h.yield()
	e := newError()
	return failure(f(e), e)
}

// Add appends parts, up to the first that fails.
func (in *Input) Add(parts ...Part) error {
	for i, part := range parts {
		if part == nil {
			return fail(StatusArg, "Input.Add: part %d is nil", i)
		}
		if err := part(in); err != nil {
			return err
		}
	}
	return nil
}

// Clear empties the input for another use.
func (in *Input) Clear() error {
	return in.call(func(e *C.mm_error) C.mm_status {
		return C.mm_input_clear(in.p, e)
	})
}

// Text appends text; see the Part of the same name, as for the methods below.
func (in *Input) Text(s string) error {
	return in.call(func(e *C.mm_error) C.mm_status {
		return C.add_text(in.p, s, e)
	})
}

// Role starts a new message.
func (in *Input) Role(role string) error {
	r, err := cString("role", role)
	if err != nil {
		return err
	}
	defer freeString(r)
	return in.call(func(e *C.mm_error) C.mm_status { return C.mm_input_role(in.p, r, e) })
}

// Messages appends a conversation.
func (in *Input) Messages(doc []byte, baseDir string) error {
	var dir *C.char
	if baseDir != "" {
		var err error
		if dir, err = cString("baseDir", baseDir); err != nil {
			return err
		}
		defer freeString(dir)
	}
	p := (*C.char)(bytesPtr(doc))
	return in.call(func(e *C.mm_error) C.mm_status { return C.mm_input_messages(in.p, p, C.size_t(len(doc)), dir, e) })
}

// Tokens appends token ids.
func (in *Input) Tokens(ids []int32) error {
	p := int32Ptr(ids)
	return in.call(func(e *C.mm_error) C.mm_status { return C.mm_input_tokens(in.p, p, C.size_t(len(ids)), e) })
}

// PixelFormat is the order of the channels of Pixels.
type PixelFormat uint32

const (
	PixelsRGB  PixelFormat = 0
	PixelsRGBA PixelFormat = 1 // not premultiplied
	PixelsBGR  PixelFormat = 2
	PixelsGrey PixelFormat = 3
)

// Pixels is a picture of 8 bits a channel, top row first.
type Pixels struct {
	Pix           []byte
	Width, Height int // 1 to 16384 each
	Stride        int // bytes from row to row; 0: tightly packed
	Format        PixelFormat
}

// Pixels appends a picture in one of the library's own layouts.
func (in *Input) Pixels(p Pixels) error {
	channels := map[PixelFormat]int{PixelsRGB: 3, PixelsRGBA: 4, PixelsBGR: 3, PixelsGrey: 1}[p.Format]
	if channels == 0 {
		return fail(StatusArg, "Pixels: format %d is unknown", p.Format)
	}
	if p.Width < 1 || p.Height < 1 || p.Width > 16384 || p.Height > 16384 {
		return fail(StatusLimit, "Pixels: %d x %d is outside 1..16384 a side", p.Width, p.Height)
	}
	row := p.Width * channels
	stride := p.Stride
	if stride == 0 {
		stride = row
	}
	if stride < row || int64(stride) > math.MaxUint32 {
		return fail(StatusArg, "Pixels: a stride of %d does not fit rows of %d bytes", stride, row)
	}
	if int64(len(p.Pix)) < int64(stride)*int64(p.Height-1)+int64(row) {
		return fail(StatusArg, "Pixels: %d bytes are too few for %d x %d", len(p.Pix), p.Width, p.Height)
	}
	pix := unsafe.Pointer(&p.Pix[0])
	return in.call(func(e *C.mm_error) C.mm_status {
		return C.libmm_go_input_image(in.p, C.uint32_t(p.Width), C.uint32_t(p.Height), C.uint32_t(stride),
			C.uint32_t(p.Format), pix, e)
	})
}

// Image appends a picture.
func (in *Input) Image(img image.Image) error {
	if img == nil {
		return fail(StatusArg, "Image: nil")
	}
	if b := img.Bounds(); b.Dx() < 1 || b.Dy() < 1 || b.Dx() > 16384 || b.Dy() > 16384 {
		return fail(StatusLimit, "Image: %d x %d pixels is outside 1..16384 a side", b.Dx(), b.Dy())
	}
	p, ok := pixelsOf(img)
	if !ok {
		p, _ = pixelsOf(convert(img))
	}
	return in.Pixels(p)
}

// ImageFile appends a picture from a file.
func (in *Input) ImageFile(path string) error {
	p, err := cString("path", path)
	if err != nil {
		return err
	}
	defer freeString(p)
	return in.call(func(e *C.mm_error) C.mm_status { return C.mm_input_image_file(in.p, p, e) })
}

// ImageBytes appends a picture from the content of a file.
func (in *Input) ImageBytes(b []byte) error {
	p := bytesPtr(b)
	return in.call(func(e *C.mm_error) C.mm_status { return C.mm_input_image_encoded(in.p, p, C.size_t(len(b)), e) })
}

const (
	samplesF32 = 0
	samplesI16 = 1
)

func (in *Input) audio(p unsafe.Pointer, n, rate, channels, format int) error {
	if channels < 1 || channels > 8 || rate < 1000 || rate > 768000 {
		return fail(StatusArg, "Audio: 1000..768000 Hz and 1..8 channels are needed, not %d and %d", rate, channels)
	}
	if n%channels != 0 {
		return fail(StatusArg, "Audio: %d samples do not divide into %d channels", n, channels)
	}
	return in.call(func(e *C.mm_error) C.mm_status {
		return C.libmm_go_input_audio(in.p, C.uint32_t(rate), C.uint32_t(channels), C.uint32_t(format),
			C.uint64_t(n/channels), p, e)
	})
}

// Audio appends sound.
func (in *Input) Audio(samples []float32, rate, channels int) error {
	p := bytesPtr(nil)
	if len(samples) > 0 {
		p = unsafe.Pointer(&samples[0])
	}
	return in.audio(p, len(samples), rate, channels, samplesF32)
}

// AudioI16 appends sound of 16 bits.
func (in *Input) AudioI16(samples []int16, rate, channels int) error {
	p := bytesPtr(nil)
	if len(samples) > 0 {
		p = unsafe.Pointer(&samples[0])
	}
	return in.audio(p, len(samples), rate, channels, samplesI16)
}

// AudioFile appends sound from a file.
func (in *Input) AudioFile(path string) error {
	p, err := cString("path", path)
	if err != nil {
		return err
	}
	defer freeString(p)
	return in.call(func(e *C.mm_error) C.mm_status { return C.mm_input_audio_file(in.p, p, e) })
}

// AudioBytes appends sound from the content of a file.
func (in *Input) AudioBytes(b []byte) error {
	p := bytesPtr(b)
	return in.call(func(e *C.mm_error) C.mm_status { return C.mm_input_audio_encoded(in.p, p, C.size_t(len(b)), e) })
}
