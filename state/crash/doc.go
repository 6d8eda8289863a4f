// Package crash names the places where a process may die: before and after everything that outlives it (a
// transaction, a file's name, a child). In the product its points do nothing. Built with the tag
// crashpoints, a process writes down the points that it passes, and dies by SIGKILL at the one that it is told
// to die at, so that a test can go through them all, also those of steps that are yet to be written.
package crash
