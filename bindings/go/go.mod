module libmm

go 1.19
