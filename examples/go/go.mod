module examples

go 1.19

require libmm v0.2.0

replace libmm => ../../bindings/go
