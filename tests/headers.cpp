// Stands for the precompiled headers of tests.
