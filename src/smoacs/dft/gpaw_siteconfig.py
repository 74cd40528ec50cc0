"""How to compile GPAW for smoacs' extra `dft`: serial, with Debian's libraries (see docs/dft.md).

    apt-get install g++ libxc-dev libopenblas-dev libfftw3-dev
    GPAW_CONFIG=$PWD/src/smoacs/dft/gpaw_siteconfig.py pip install '.[dft]'

GPAW executes this file inside its own build script. Without it the build asks for MPI as soon as
any `mpic++` is on the PATH. No `-march=native`, so that the build runs on other machines than its
own; OpenBLAS and FFTW choose the processor's instructions at run time anyway.
"""

mpi = False  # smoacs runs one calculation per process, on one thread
compiler = "g++"
libraries = ["xc", "openblas", "fftw3"]
fftw = True
extra_compile_args = ["-O3"]
