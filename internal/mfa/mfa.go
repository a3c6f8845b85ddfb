// Package mfa decides what may happen: which states an action takes and which
// of them take a code, whether an authenticator may be added or removed, whether
// a code is right and an authenticator blocked, whether a token still counts, and
// what a right code completes. The wire contract has the decisions in sections
// 4.2, 9 and 11.
//
// It works in the caller's transaction and knows no HTTP: its refusals are
// *api.Error values, and any other error is the store's. The API, the pre-built
// UI and the portal ask it and decide none of this themselves.
package mfa
