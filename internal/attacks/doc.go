// Package attacks attacks a running server with only the first factor, with a
// page of another site, or by guessing. It contains only tests: each starts the
// program, sends it HTTP requests, and checks that the attack fails and that the
// same flow without the attack succeeds. No package imports it.
//
// Beside this list of attacks, the model in model_test.go is run through random
// sequences of calls, and each answer is compared with the wire contract.
//
// docs/security.md lists the threats, each with its measure and its test.
package attacks
