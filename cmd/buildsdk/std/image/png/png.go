// Package png stands in for the standard library's in the browser module, which
// draws SVG. The library that makes QR codes imports the real package, whose
// registration as a decoder would bring compress/flate with it. What is not here
// does not compile.
package png

import (
	"errors"
	"image"
	"io"
)

// A CompressionLevel has no effect.
type CompressionLevel int

// BestCompression is the level that the library asks for.
const BestCompression CompressionLevel = -3

// An Encoder encodes nothing.
type Encoder struct {
	CompressionLevel CompressionLevel
}

// Encode returns an error.
func (*Encoder) Encode(io.Writer, image.Image) error {
	return errors.New("png: this build has no encoder")
}
