//go:build js && wasm && !tinygo

package main

func main() {
	publish()
	select {} // lives as long as the page
}
