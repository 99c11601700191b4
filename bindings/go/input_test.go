package libmm

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	_ "image/jpeg"
	_ "image/png"
	"os"
	"testing"
)

func decode(t *testing.T, path string) image.Image {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	img, _, err := image.Decode(f)
	must(t, err)
	return img
}

func nrgba(img image.Image) *image.NRGBA {
	to := image.NewNRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(to, to.Rect, img, img.Bounds().Min, draw.Src)
	return to
}

func same(t *testing.T, m *Model, what string, a, b Part) {
	t.Helper()
	va, err := m.Embed(background, a)
	must(t, err)
	vb, err := m.Embed(background, b)
	must(t, err)
	for i := range va {
		if va[i] != vb[i] {
			t.Errorf("%s: vectors differ at %d: %v and %v (cosine %.6f)", what, i, va[i], vb[i], dot(va, vb))
			return
		}
	}
}

func TestPictures(t *testing.T) {
	m := open(t, "clip")
	path := fixture("_inputs/small.png")
	file := ImageFile(path)
	img := nrgba(decode(t, path))
	b := img.Bounds()
	same(t, m, "NRGBA", file, Image(img))

	rgba := image.NewRGBA(b)
	draw.Draw(rgba, b, img, image.Point{}, draw.Src)
	same(t, m, "RGBA", file, Image(rgba))

	content, err := os.ReadFile(path)
	must(t, err)
	same(t, m, "bytes", file, ImageBytes(content))

	wide := image.NewNRGBA(image.Rect(0, 0, b.Dx()+13, b.Dy()+7))
	draw.Draw(wide, image.Rect(5, 3, 5+b.Dx(), 3+b.Dy()), img, image.Point{}, draw.Src)
	same(t, m, "a part of a picture", file, Image(wide.SubImage(image.Rect(5, 3, 5+b.Dx(), 3+b.Dy()))))

	rgb, bgr := make([]byte, 3*b.Dx()*b.Dy()), make([]byte, 3*b.Dx()*b.Dy())
	for i := 0; i < b.Dx()*b.Dy(); i++ {
		copy(rgb[3*i:], img.Pix[4*i:4*i+3])
		bgr[3*i], bgr[3*i+1], bgr[3*i+2] = rgb[3*i+2], rgb[3*i+1], rgb[3*i]
	}
	same(t, m, "RGB", file, Pix(Pixels{Pix: rgb, Width: b.Dx(), Height: b.Dy()}))
	same(t, m, "BGR", file, Pix(Pixels{Pix: bgr, Width: b.Dx(), Height: b.Dy(), Format: PixelsBGR}))

	deep := image.NewNRGBA64(b)
	draw.Draw(deep, b, img, image.Point{}, draw.Src)
	same(t, m, "16 bits", file, Image(deep))

	grey, ok := decode(t, fixture("_inputs/grey.png")).(*image.Gray)
	if !ok {
		t.Fatal("grey.png is not grey")
	}
	same(t, m, "grey", ImageFile(fixture("_inputs/grey.png")), Image(grey))
	deepGrey := image.NewGray16(grey.Bounds())
	draw.Draw(deepGrey, grey.Bounds(), grey, image.Point{}, draw.Src)
	same(t, m, "grey of 16 bits", Image(grey), Image(deepGrey))

	same(t, m, "transparent", ImageFile(fixture("_inputs/rgba.png")), Image(decode(t, fixture("_inputs/rgba.png"))))

	// Premultiplied half-transparent red is still red.
	half, full := image.NewRGBA(b), image.NewNRGBA(b)
	draw.Draw(half, b, image.NewUniform(color.NRGBA{200, 100, 50, 255}), image.Point{}, draw.Src)
	draw.Draw(full, b, image.NewUniform(color.NRGBA{200, 100, 50, 255}), image.Point{}, draw.Src)
	same(t, m, "opaque RGBA", Image(half), Image(full))

	// JPEG: Go's decoder gives YCbCr and may round otherwise.
	a, err := m.Embed(background, ImageFile(fixture("_inputs/photo.jpg")))
	must(t, err)
	c, err := m.Embed(background, Image(decode(t, fixture("_inputs/photo.jpg"))))
	must(t, err)
	if dot(a, c) < 0.995 {
		t.Errorf("YCbCr: cosine %.5f", dot(a, c))
	}
}

func TestPictureRefusals(t *testing.T) {
	in, err := open(t, "clip").Engine().NewInput()
	must(t, err)
	defer in.Close()
	want(t, in.Image(nil), ErrArg)
	want(t, in.Image(image.NewNRGBA(image.Rectangle{})), ErrLimit)
	want(t, in.Image(&image.NRGBA{Pix: make([]byte, 10), Stride: 400, Rect: image.Rect(0, 0, 100, 100)}), ErrArg)
	want(t, in.Image(&image.RGBA{Pix: make([]byte, 10), Stride: 400, Rect: image.Rect(0, 0, 100, 100)}), ErrArg)
	want(t, in.Image(&image.Gray{Pix: make([]byte, 10), Stride: -4, Rect: image.Rect(0, 0, 4, 4)}), ErrArg)
	want(t, in.Pixels(Pixels{Pix: make([]byte, 11), Width: 2, Height: 2}), ErrArg)
	want(t, in.Pixels(Pixels{Pix: make([]byte, 12), Width: 2, Height: 2, Stride: 5}), ErrArg)
	want(t, in.Pixels(Pixels{Pix: make([]byte, 12), Width: 2, Height: 2, Format: 9}), ErrArg)
	want(t, in.Pixels(Pixels{Width: 16385, Height: 1, Pix: make([]byte, 49155)}), ErrLimit)
	must(t, in.Pixels(Pixels{Pix: make([]byte, 12), Width: 2, Height: 2}))
	want(t, in.ImageFile("no such file"), ErrIO)
	want(t, in.ImageFile("a\x00b"), ErrArg)
	want(t, in.ImageBytes([]byte("this is no picture")), ErrMedia)
	want(t, in.ImageBytes(nil), ErrMedia)
	want(t, in.Text("a\x00b"), ErrArg)
	want(t, in.Role(""), ErrArg)
	want(t, in.Add(nil), ErrArg)
	want(t, in.Messages([]byte(`[{`), ""), ErrFormat)
	want(t, in.Messages([]byte(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]`), ""), ErrUnsupported)
}

func wav(t *testing.T) (samples []int16) {
	t.Helper()
	content, err := os.ReadFile(fixture("_inputs/speech_16k.wav"))
	must(t, err)
	at := bytes.Index(content, []byte("data"))
	samples = make([]int16, (len(content)-at-8)/2)
	must(t, binary.Read(bytes.NewReader(content[at+8:]), binary.LittleEndian, samples))
	return samples
}

func TestSound(t *testing.T) {
	m := open(t, "whisper")
	path := fixture("_inputs/speech_16k.wav")
	words := func(p Part) string {
		t.Helper()
		all, err := m.Transcribe(background, p).All(background)
		must(t, err)
		return fmt.Sprint(all)
	}
	from := words(AudioFile(path))
	if len(from) < 10 {
		t.Fatalf("said: %s", from)
	}
	i16 := wav(t)
	f32, stereo := make([]float32, len(i16)), make([]float32, 2*len(i16))
	for i, s := range i16 {
		f32[i] = float32(s) / 32768
		stereo[2*i], stereo[2*i+1] = f32[i], f32[i]
	}
	content, err := os.ReadFile(path)
	must(t, err)
	for name, p := range map[string]Part{"bytes": AudioBytes(content), "I16": AudioI16(i16, 16000, 1), "F32": Audio(f32, 16000, 1),
		"stereo": Audio(stereo, 16000, 2)} {
		if got := words(p); got != from {
			t.Errorf("%s: %s, from the file %s", name, got, from)
		}
	}
	in, err := m.Engine().NewInput()
	must(t, err)
	defer in.Close()
	want(t, in.Audio(f32[:3], 16000, 2), ErrArg)
	want(t, in.Audio(f32, 999, 1), ErrArg)
	want(t, in.AudioI16(i16, 16000, 9), ErrArg)
	want(t, in.AudioI16(i16, 16000, 0), ErrArg)
	want(t, in.AudioFile("no such file"), ErrIO)
	want(t, in.AudioBytes([]byte("this is no sound")), ErrMedia)
	if err := in.Audio(nil, 16000, 1); err != nil {
		want(t, err, ErrArg)
	}
}

func TestConversations(t *testing.T) {
	m := open(t, "llava")
	photo, err := os.ReadFile(fixture("_inputs/photo.jpg"))
	must(t, err)
	doc := func(url string) []byte {
		return []byte(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"` + url + `"}},{"type":"text","text":"What?"}]}]`)
	}
	opts := []Option{WithMaxTokens(6), WithIgnoreEOS()}
	parts := Parts{ImageFile(fixture("_inputs/photo.jpg")), Text("What?")}
	plain, err := m.Generate(background, parts, opts...)
	must(t, err)
	for name, p := range map[string]Parts{
		"role":     {Role("user"), parts[0], parts[1]},
		"message":  {Message("user", parts...)},
		"file":     {Messages(doc("photo.jpg"), fixture("_inputs"))},
		"data URL": {Messages(doc("data:image/jpeg;base64,"+base64.StdEncoding.EncodeToString(photo)), "")},
	} {
		a, err := m.Generate(background, p, opts...)
		must(t, err)
		if !equal(a.IDs, plain.IDs) || a.PromptTokens != plain.PromptTokens {
			t.Errorf("%s: %v after %d, not %v after %d", name, a.IDs, a.PromptTokens, plain.IDs, plain.PromptTokens)
		}
	}
	_, err = m.Generate(background, Parts{Messages(doc("no such.jpg"), fixture("_inputs"))})
	want(t, err, ErrIO)
}

func TestInputAgain(t *testing.T) {
	m := open(t, "llama")
	in, err := m.Engine().NewInput(Text("The licensor"))
	must(t, err)
	defer in.Close()
	s := session(t, m, WithMaxTokens(4), WithIgnoreEOS())
	var ids [2][]int32
	for i := range ids {
		must(t, s.Reset())
		must(t, s.FeedInput(in))
		_, end := answer(t, s)
		ids[i] = end.IDs
	}
	if len(ids[0]) != 4 || !equal(ids[0], ids[1]) {
		t.Errorf("the same input gives %v and %v", ids[0], ids[1])
	}
	must(t, in.Clear())
	want(t, s.FeedInput(in), ErrArg)
}
