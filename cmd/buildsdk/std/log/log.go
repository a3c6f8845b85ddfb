// Package log stands in for the standard library's in the browser module. The
// library that makes QR codes calls Panic and its kin where its own tables are
// wrong; the real package would bring fmt, os and time into the module for that.
// What is not here does not compile.
package log

// Panic panics.
func Panic(...any) { panic("log.Panic") }

// Panicf panics with format as it is.
func Panicf(format string, _ ...any) { panic(format) }

// Panicln panics.
func Panicln(...any) { panic("log.Panicln") }
