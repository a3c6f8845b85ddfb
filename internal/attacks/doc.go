// Package attacks attacks a running server with only the first factor, with a
// page of another site, or by guessing. It contains only tests: each starts the
// real program, sends it HTTP requests, and shows that the attack fails and that
// the honest flow beside it passes. No package imports it.
//
// The model in model_test.go covers what a list of attacks does not: random
// sequences of calls, each answer compared with what the wire contract says.
//
// docs/security.md lists the threats, each with what holds against it and the test
// that shows it.
package attacks
