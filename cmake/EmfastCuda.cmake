# Decides whether the CUDA module is built, with which compiler and for which architectures.
# In: EMFAST_CUDA (AUTO, ON, OFF), EMFAST_CUDA_ARCHITECTURES (the preset's list; CUDAARCHS and
#     CMAKE_CUDA_ARCHITECTURES override it). Out: EMFAST_HAS_CUDA.
#
# Order of search: what the user names (CMAKE_CUDA_COMPILER, CUDACXX), the pip packages where they were asked for
# (EMFAST_CUDA_FROM_PIP), CUDA_HOME and CUDA_PATH, PATH, the usual folder, and pip's packages if they happen to be there.
# The architectures must be set before the language is enabled, else CMake picks its own default.

set(EMFAST_HAS_CUDA OFF)
if(EMFAST_CUDA STREQUAL "AUTO" AND "$ENV{EMFAST_CUDA_FROM_PIP}")
  set(EMFAST_CUDA ON)  # who asks for the compiler wants the module
endif()
set(EMFAST_CUDA_ARCHITECTURES "" CACHE STRING "CUDA architectures; empty: all that the release supports")
if(NOT EMFAST_CUDA)
  return()
endif()

# nvidia/cu13 of pip's nvidia-cuda-* packages, wherever this interpreter (or pip's isolated build) has them.
function(emfast_find_pip_toolkit result)
  execute_process(COMMAND "${Python_EXECUTABLE}" -c
"import pathlib, sys
for entry in map(pathlib.Path, sys.path):
    if (entry / 'nvidia/cu13/bin/nvcc').is_file():
        print(entry / 'nvidia/cu13')
        break"
    OUTPUT_VARIABLE root OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(${result} "${root}" PARENT_SCOPE)
endfunction()

function(emfast_find_nvcc result)
  unset(nvcc)
  if(CMAKE_CUDA_COMPILER)
    set(nvcc "${CMAKE_CUDA_COMPILER}")
  elseif(DEFINED ENV{CUDACXX})
    set(nvcc "$ENV{CUDACXX}")
  else()
    set(from_pip "$ENV{EMFAST_CUDA_FROM_PIP}")
    emfast_find_pip_toolkit(pip_root)
    if(NOT from_pip)
      find_program(nvcc nvcc NO_CACHE NO_DEFAULT_PATH PATHS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin)
      if(NOT nvcc)
        find_program(nvcc nvcc NO_CACHE PATHS /usr/local/cuda/bin)
      endif()
    endif()
    if(NOT nvcc AND pip_root)
      set(nvcc "${pip_root}/bin/nvcc")
      # Its profile looks for the static runtime in lib64; the packages have lib.
      set(ENV{CUDAFLAGS} "$ENV{CUDAFLAGS} -L${pip_root}/lib")
    endif()
  endif()
  set(${result} "${nvcc}" PARENT_SCOPE)
endfunction()

# No compiler, or one that fails: an error where CUDA was demanded, a word where it was optional.
macro(emfast_without_cuda reason)
  if(EMFAST_CUDA STREQUAL "AUTO")
    message(STATUS "emfast: built without CUDA (${reason})")
    return()
  endif()
  message(FATAL_ERROR "EMFAST_CUDA=${EMFAST_CUDA} but ${reason}. Put nvcc (12.0 or newer) on PATH, set CUDA_HOME, or "
    "set the environment variable EMFAST_CUDA_FROM_PIP=true so that pip brings the compiler; "
    "EMFAST_CUDA=OFF builds for the CPU alone.")
endmacro()

emfast_find_nvcc(nvcc)
if(NOT nvcc)
  emfast_without_cuda("no CUDA compiler was found")
endif()
execute_process(COMMAND "${nvcc}" --version OUTPUT_VARIABLE nvcc_says ERROR_VARIABLE nvcc_says RESULT_VARIABLE nvcc_failed)
string(REGEX MATCH "V([0-9]+\\.[0-9]+\\.[0-9]+)" found "${nvcc_says}")
set(nvcc_version "${CMAKE_MATCH_1}")
if(nvcc_failed OR NOT found)
  emfast_without_cuda("${nvcc} --version does not answer")
elseif(nvcc_version VERSION_LESS 12.0)
  emfast_without_cuda("${nvcc} is ${nvcc_version} and C++20 needs 12.0")
endif()

if(NOT CMAKE_CUDA_ARCHITECTURES)
  if(DEFINED ENV{CUDAARCHS})
    set(architectures "$ENV{CUDAARCHS}")
  elseif(EMFAST_CUDA_ARCHITECTURES)
    set(architectures "${EMFAST_CUDA_ARCHITECTURES}")
  elseif(nvcc_version VERSION_LESS 12.8)
    set(architectures 75-real 80-real 86-real 89-real 90-real 90-virtual)
  else()
    set(architectures 75-real 80-real 86-real 89-real 90-real 100-real 120-real 120-virtual)
  endif()
  set(CMAKE_CUDA_ARCHITECTURES "${architectures}")
endif()

if(NOT CMAKE_CUDA_COMPILER)  # else check_language believes what it reads there
  unset(CMAKE_CUDA_COMPILER CACHE)
  set(ENV{CUDACXX} "${nvcc}")
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  emfast_without_cuda("${nvcc} cannot compile with this host compiler (see CMakeFiles/CMakeConfigureLog.yaml)")
endif()
enable_language(CUDA)
list(LENGTH CMAKE_CUDA_ARCHITECTURES architecture_count)
if(architecture_count GREATER 1)
  add_compile_options($<$<COMPILE_LANGUAGE:CUDA>:--threads=4>)  # the architectures of one file side by side
endif()
if(nvcc_version VERSION_GREATER_EQUAL 13.0)  # a twentieth of the default's size; older drivers cannot unpack it
  add_compile_options($<$<COMPILE_LANGUAGE:CUDA>:--compress-mode=size>)
endif()
list(JOIN CMAKE_CUDA_ARCHITECTURES " " architecture_list)
message(STATUS "emfast: CUDA ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${architecture_list}")
set(EMFAST_HAS_CUDA ON)
