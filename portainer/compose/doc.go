// Package compose works on the text of compose files: it checks them before they are sent, tells what
// they hold, mounts files into their services, and compares them by what they mean.
//
// A file is looked at as the server will have it: alone, without the folder that it lies in.
package compose
