// A synthetic piece of brain tissue as an electron microscope would show it, with its ground truth.
//
// The tissue is endless and a function of the seed alone; a volume is a window of it. Neurites are random walks of conical
// segments, hashed from the cells of a coarse grid. Space is warped by smooth noise and every point belongs to the neurite
// whose surface is nearest (an additively weighted Voronoi diagram): membranes are where two surfaces are equally far.
// Mitochondria are capsules along the axes, clear of the membrane. Grey values follow from those distances: no filter is
// ever run, so a voxel depends on its coordinates alone, and any window shows the same tissue.
//
// Bit-identical everywhere: random numbers are hashes of 32 bits, floats use + - * / and sqrt only, without contraction.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::phantom {

struct Settings {
    Shape shape;
    int64_t origin[3] = {0, 0, 0};  // the window's first voxel in the endless tissue
    float spacing[3] = {30, 8, 8};  // nanometres
    uint64_t seed = 0;
    float calibre = 350;  // nm, the scale of everything but membranes, vesicles and grain
    float membrane = 24;  // nm, both leaflets and what lies between
    float mitochondria = 1;  // 0 none, 1 as in neuropil
    float noise = 1;  // grain of the image
    float defects = 0;  // share of sections that are missing, dark or shifted
    float errors = 1;  // gaps and false boundaries of the affinities
};

// Every array holds shape.voxels() values, affinities three times as many (channel, z, y, x).
// owner: the neurite a voxel belongs to, from 1, numbered within this window; 0 in membranes.
// mitochondria: an id per mitochondrion, 0 outside. affinities: channel c joins a voxel with the one before it along axis
// c; 0 on the first face, where there is none.
struct Result {
    uint8_t* image;
    uint32_t* owner;
    uint32_t* mitochondria;
    uint8_t* affinities;
};

void make(Executor& ex, const Settings& settings, const Result& result);

}  // namespace emfast::phantom
