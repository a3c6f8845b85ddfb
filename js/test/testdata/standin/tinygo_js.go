//go:build js && wasm && tinygo

package main

import "unsafe" // also for go:linkname

// exit does nothing: the module never exits, and its loader has no code for that.
func exit() {}

func init() { publish() }

func main() {}

// handleEvent calls the Go function that JavaScript has called.
//
//go:linkname handleEvent syscall/js.handleEvent
func handleEvent() bool

// resume is where JavaScript enters Go. TinyGo's runtime has it only together
// with a scheduler, and this module has none.
//
//go:wasmexport resume
func resume() { handleEvent() }

//go:wasmimport wasi_snapshot_preview1 random_get
func randomGet(p unsafe.Pointer, n uint32) uint32

// arc4random is the one function of a C library that TinyGo's runtime needs,
// for the seeds of its maps.
//
//export arc4random
func arc4random() (n uint32) {
	randomGet(unsafe.Pointer(&n), 4)
	return n
}
