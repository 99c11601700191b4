package libmm

import (
	"image"
	"image/draw"
)

// pixelsOf describes a picture where it lies; false when the library does not know its layout.
func pixelsOf(img image.Image) (Pixels, bool) {
	switch m := img.(type) {
	case *image.NRGBA:
		return at(m.Pix, m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y), m.Stride, m.Rect, PixelsRGBA), true
	case *image.RGBA: // premultiplied, which is the same thing only without transparency
		if opaque(m.Pix, m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y), m.Stride, m.Rect) {
			return at(m.Pix, m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y), m.Stride, m.Rect, PixelsRGBA), true
		}
	case *image.Gray:
		return at(m.Pix, m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y), m.Stride, m.Rect, PixelsGrey), true
	}
	return Pixels{}, false
}

func at(pix []byte, offset, stride int, r image.Rectangle, format PixelFormat) Pixels {
	if offset < 0 || offset > len(pix) {
		pix = nil
	} else {
		pix = pix[offset:]
	}
	return Pixels{Pix: pix, Width: r.Dx(), Height: r.Dy(), Stride: stride, Format: format}
}

// opaque looks at alpha without trusting that the picture's rectangle fits its pixels; Pixels reports that later.
func opaque(pix []byte, offset, stride int, r image.Rectangle) bool {
	for y := 0; y < r.Dy(); y++ {
		row := offset + y*stride
		if row < 0 || stride < 0 || row+4*r.Dx() > len(pix) {
			return true
		}
		for x := row + 3; x < row+4*r.Dx(); x += 4 {
			if pix[x] != 0xff {
				return false
			}
		}
	}
	return true
}

// convert copies a picture into a layout the library knows.
func convert(img image.Image) image.Image {
	b := img.Bounds()
	r := image.Rect(0, 0, b.Dx(), b.Dy())
	var to draw.Image = image.NewNRGBA(r)
	if o, ok := img.(interface{ Opaque() bool }); ok && o.Opaque() {
		to = image.NewRGBA(r)
	}
	if _, ok := img.(*image.Gray16); ok {
		to = image.NewGray(r)
	}
	draw.Draw(to, r, img, b.Min, draw.Src)
	return to
}
