//go:build js && wasm && !tinygo

package main

func main() {
	publish()
	select {} // runs as long as the page
}
