//go:build js && wasm && !tinygo

package main

import "os"

func exit() { os.Exit(0) }

func main() {
	publish()
	select {}
}
