// Package house holds the rules of the house as tests: which way imports point, who may start programs, who
// uses which library, and what stands at the top level. It has no code.
package house
